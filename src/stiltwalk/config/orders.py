"""Orders of intermediate tasks: what is a valid one, and what its steps are called.

An order is a list of steps, first to last. A step trains one *mixture*: an intermediate task, or several joined by `+`
that are trained together.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from stiltwalk.utils.errors import InputError

PRETRAINED = "0-encoder"  # the checkpoint that every order starts from
CHECKPOINT_DTYPES = ("float32", "bfloat16")
NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
LONGEST_STEP = 200  # characters: file systems allow 255 bytes for a name, and some is added around it


def check_names(names: Iterable[tuple[str, Any]]) -> None:
    """Raise InputError unless every name is a plain word: names become part of commands, paths and modules.

    names: pairs of the place in the configuration and the name. DVC passes commands to a shell unquoted.
    """
    for place, name in names:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            shown = name if len(str(name)) <= 80 else f"{str(name)[:80]}..."
            raise InputError(
                f"{place} is {shown!r}; it becomes part of commands and paths: use at most 64 of the characters A-Z, "
                "a-z, 0-9, _ and -, starting with a letter or digit"
            )


def check_order(order: Any, known: Iterable[str]) -> list[str]:
    """Return the order as a list of strings. Raises InputError unless it is a list of steps made of known tasks."""
    tasks = f"the tasks are {', '.join(sorted(known))}"
    if isinstance(order, str) or not isinstance(order, Sequence):
        raise InputError(f"order={order!r:.80} is not a list; write 'order=[mnli,squad]' ({tasks})")
    for step in order:
        if not isinstance(step, str):
            raise InputError(f"order has the step {step!r:.80}, which is not the name of a task; {tasks}")
        if len(step) > LONGEST_STEP:
            raise InputError(
                f"order has a step of {len(step)} characters, {step[:40]!r}...; at most {LONGEST_STEP} are allowed"
            )
        parts = step.split("+")
        for part in parts:
            if not part:
                raise InputError(f"order has the step {step!r:.80} with an empty part beside its '+'; {tasks}")
            if part not in known:
                raise InputError(f"order has the unknown task {part!r:.80} in its step {step!r:.80}; {tasks}")
            if parts.count(part) > 1:
                raise InputError(f"order has the step '{step}', which names '{part}' twice; {tasks}")
    return list(order)


def check_targets(targets: Any, known: Iterable[str]) -> list[str]:
    """Return the targets as a list of distinct strings. Raises InputError if one is unknown or repeated."""
    names = f"the targets are {', '.join(sorted(known))}"
    if isinstance(targets, str) or not isinstance(targets, Sequence):
        raise InputError(f"targets={targets!r:.80} is not a list; write 'targets=[xnli,udpos]' ({names})")
    for target in targets:
        if not isinstance(target, str) or target not in known:
            raise InputError(f"targets has the unknown target {target!r:.80}; {names}")
        if list(targets).count(target) > 1:
            raise InputError(f"targets names '{target}' twice; {names}")
    return list(targets)


def check_seed(seed: Any) -> int:
    """Return the seed. Raises InputError unless it is a whole number."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InputError(f"seed={seed!r:.80} is not a whole number")
    return seed


def check_checkpoint_dtype(dtype: Any) -> str:
    """Return the data type that checkpoints are written in. Raises InputError unless it is a known one."""
    if dtype not in CHECKPOINT_DTYPES:
        raise InputError(f"checkpoints={dtype!r:.80} is not one of {', '.join(CHECKPOINT_DTYPES)}")
    return str(dtype)


def step_keys(order: Sequence[str]) -> list[str]:
    """Name the steps by position and mixture: `1-mnli`, `2-squad+qqp`."""
    return [f"{position}-{mixture}" for position, mixture in enumerate(order, start=1)]


def checkpoint_keys(order: Sequence[str]) -> list[str]:
    """Name the checkpoints: the pretrained encoder's, then one per step. Each is the folder `models/<key>`."""
    return [PRETRAINED, *step_keys(order)]
