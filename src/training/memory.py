"""What to do where the memory is not enough."""

from collections.abc import Iterator
from contextlib import contextmanager

from accelerate.utils.memory import should_reduce_batch_size

from common.errors import InputError

SAID = (
    "could not create a ",  # primitive, or memory object, in oneDNN's words
    "CUDA error: out of memory",  # of the driver, when it makes a graph ready
)


@contextmanager
def fitting(name: str, value: int) -> Iterator[None]:
    """Where memory runs out in the block, an InputError names the setting training.<name> that halves its batches."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not (
            isinstance(error, MemoryError) or should_reduce_batch_size(error) or any(w in str(error) for w in SAID)
        ):
            raise
        more = ""
        if name == "micro_batch_tokens":
            more = ", then -S training.cuda_graphs=false on a GPU, then -S training.gradient_checkpointing=true"
        raise InputError(
            f"out of memory ({' '.join(str(error).split())[:200]}); training.{name} is {value}: "
            f"half of it, -S training.{name}={max(1, value // 2)}, takes half the memory for batches{more}"
        ) from None
