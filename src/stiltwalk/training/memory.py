"""What to do when memory runs out."""

from collections.abc import Iterator
from contextlib import contextmanager

from accelerate.utils.memory import should_reduce_batch_size

from stiltwalk.training.settings import PredictionSettings
from stiltwalk.utils.errors import InputError

OUT_OF_MEMORY = (  # messages that Accelerate does not know
    "could not create a ",  # a primitive or a memory object, says oneDNN
    "CUDA error: out of memory",  # says the driver, when it prepares a graph
)


@contextmanager
def out_of_memory_hint(name: str, settings: PredictionSettings) -> Iterator[None]:
    """Raise an InputError that says how to halve the memory of batches if memory runs out within the block.

    name: the setting that decides the size of the block's batches, micro_batch_tokens or prediction_tokens.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(describe(error, name, settings)) from None


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error of Python, torch, CUDA or oneDNN says that memory ran out."""
    if isinstance(error, MemoryError) or should_reduce_batch_size(error):
        return True
    return any(message in str(error) for message in OUT_OF_MEMORY)


def describe(error: Exception, name: str, settings: PredictionSettings) -> str:
    """Return one line: the error, the setting with its value, and the overrides that save memory."""
    value, override = getattr(settings, name), settings.override(name)
    message = (
        f"out of memory ({' '.join(str(error).split())[:200]}); {settings.where}.{name} is {value}: "
        f"-S {override}={max(1, value // 2)} halves the memory that batches need"
    )
    if name == "micro_batch_tokens":
        graphs, checkpointing = map(settings.override, ("cuda_graphs", "gradient_checkpointing"))
        message += f"; if that is not enough, add -S {graphs}=false on a GPU, then -S {checkpointing}=true"
    if override == f"training.{name}":
        message += "; all steps and targets are then trained again"
    return message
