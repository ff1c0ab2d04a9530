"""What to do where the memory is not enough."""

from collections.abc import Iterator
from contextlib import contextmanager

from accelerate.utils.memory import should_reduce_batch_size

from stiltwalk.training.settings import Settings
from stiltwalk.utils.errors import InputError

SAID = (
    "could not create a ",  # primitive, or memory object, in oneDNN's words
    "CUDA error: out of memory",  # of the driver, when it makes a graph ready
)


@contextmanager
def fitting(name: str, settings: Settings) -> Iterator[None]:
    """Where memory runs out in the block, an InputError says how to halve its batches, whose size the setting is."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not (
            isinstance(error, MemoryError) or should_reduce_batch_size(error) or any(w in str(error) for w in SAID)
        ):
            raise
        value, more = getattr(settings, name), ""
        if name == "micro_batch_tokens":
            graphs, checkpointing = map(settings.override, ("cuda_graphs", "gradient_checkpointing"))
            more = f", then -S {graphs}=false on a GPU, then -S {checkpointing}=true"
        alone = settings.override(name) != f"training.{name}"
        raise InputError(
            f"out of memory ({' '.join(str(error).split())[:200]}); {settings.where}.{name} is {value}: "
            f"half of it, -S {settings.override(name)}={max(1, value // 2)}, takes half the memory for batches{more}"
            + ("" if alone else "; every other step and target is then trained anew")
        ) from None
