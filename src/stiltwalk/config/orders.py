"""An order of intermediate tasks and what follows from it.

An order is a list of steps, first to last. A step is the name of an intermediate task, or several joined by `+` that
are trained together. DVC's templates cannot say "the checkpoint of the step before", so it is said here, once, while
`dvc exp run` composes params.yaml; a bad order is refused there, before any stage runs.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from stiltwalk.utils.errors import InputError

ENCODER = "models/encoder"
WEIGHTS = ("float32", "bfloat16")
FROZEN = ("retrieval", "mining")  # kinds of target that are not tuned
PLAIN = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
LONGEST = 200  # characters of a step: file systems allow a name 255 bytes, and some is put around it


def check_names(names: Iterable[tuple[str, Any]]) -> None:
    """InputError where one of the names that become part of commands, paths and modules is no plain word.

    names: where each stands, and the name. Commands go through a shell, unquoted.
    """
    for where, name in names:
        if not isinstance(name, str) or not PLAIN.fullmatch(name):
            shown = name if len(str(name)) <= 80 else f"{str(name)[:80]}..."
            raise InputError(
                f"{where} is {shown!r}; it becomes part of commands and paths, and must be a name of at most 64 of "
                "A-Z, a-z, 0-9, _ and -, a letter or digit first"
            )


def check_order(order: Any, known: Iterable[str]) -> list[str]:
    """The order as a list of strings; InputError where it is not a list of steps made of known tasks."""
    tasks = f"the tasks are {', '.join(sorted(known))}"
    if isinstance(order, str) or not isinstance(order, Sequence):
        raise InputError(f"order={order!r:.80} is not a list; write 'order=[mnli,squad]' ({tasks})")
    for step in order:
        if not isinstance(step, str):
            raise InputError(f"order has the step {step!r:.80}, which is not the name of a task; {tasks}")
        if len(step) > LONGEST:
            raise InputError(f"order has a step of {len(step)} characters, {step[:40]!r}...; at most {LONGEST} can be")
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
    """The targets as a list of distinct strings; InputError where one is unknown or named twice."""
    names = f"the targets are {', '.join(sorted(known))}"
    if isinstance(targets, str) or not isinstance(targets, Sequence):
        raise InputError(f"targets={targets!r:.80} is not a list; write 'targets=[xnli,udpos]' ({names})")
    for target in targets:
        if target not in known:
            raise InputError(f"targets has the unknown target {target!r:.80}; {names}")
        if list(targets).count(target) > 1:
            raise InputError(f"targets names '{target}' twice; {names}")
    return list(targets)


def check_seed(seed: Any) -> int:
    """The seed; InputError where it is not a whole number."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InputError(f"seed={seed!r:.80} is not a whole number")
    return seed


def keys(order: Sequence[str]) -> list[str]:
    """The names of the steps: position and mixture, `1-mnli`, `2-squad+qqp`."""
    return [f"{position}-{mixture}" for position, mixture in enumerate(order, start=1)]


def checkpoints(order: Sequence[str]) -> list[str]:
    """Where the encoder lies before the first step and after each one: len(order) + 1 folders."""
    return [ENCODER, *(f"models/{key}/encoder" for key in keys(order))]


def check_weights(weights: Any) -> str:
    """In what checkpoints are written; InputError where it is none of WEIGHTS."""
    if weights not in WEIGHTS:
        raise InputError(f"checkpoints={weights!r:.80} is not one of {', '.join(WEIGHTS)}")
    return weights


def chain(order: Sequence[str], kinds: dict[str, str], weights: str) -> dict[str, dict[str, str]]:
    """Each step's mixture, the checkpoint that it starts from, what its own is written in, and the code of its kinds.

    `kept` holds the heads and validation rows of the steps before; there is none before the first. `prefix` names all
    steps up to this one: of it and the seed its random numbers are drawn, so that two orders share no luck but that of
    the steps which they begin with, and can be exchanged in a test where order does nothing.

    `code` is one module where all tasks of the mixture are of one kind, so that mending another kind does not retrain
    the step; else the folder of all kinds.
    """
    steps = {}
    for number, (key, mixture, init) in enumerate(zip(keys(order), order, checkpoints(order), strict=False), start=1):
        tasks = mixture.split("+")
        of_kind = {kinds[task] for task in tasks}
        if "lexical" in of_kind and len(tasks) > 1:
            raise InputError(
                f"order has the joint step '{mixture}'; a lexical task freezes the encoder: train it alone"
            )
        # A path named twice is one output to DVC.
        layers = f"metrics/trajectory/{key}-pairs" if "lexical" in of_kind else f"metrics/steps/{key}.json"
        code = f"src/kinds/{of_kind.pop()}.py" if len(of_kind) == 1 else "src/kinds"
        kept = "src/intermediate.py" if init == ENCODER else init.replace("/encoder", "/kept")
        places = {"init": init, "kept": kept, "code": code, "layers": layers}
        steps[key] = {"mixture": mixture, "prefix": "/".join(order[:number]), **places, "weights": weights}
    return steps


def probes(order: Sequence[str], retrieval: bool) -> dict[str, dict[str, str]]:
    """For every checkpoint what is looked at after it, before any target is tuned.

    `before` is the record of the probe before, `kept` the tasks so far, `rows` and `labels` Tatoeba's where `retrieval`
    is asked for. A path that is named twice is one dependency to DVC: the script stands in where there is nothing.
    """
    script = "src/probe.py"
    rows, labels = ("data/encoded/xtreme/tatoeba", "data/labels/tatoeba") if retrieval else (script, script)
    found: dict[str, dict[str, str]] = {}
    before = script
    for key, checkpoint in zip(["0-encoder", *keys(order)], checkpoints(order), strict=True):
        if checkpoint == ENCODER and not retrieval:
            continue
        kept = script if checkpoint == ENCODER else f"models/{key}/kept"
        found[key] = {"checkpoint": checkpoint, "kept": kept, "before": before, "rows": rows, "labels": labels}
        before = f"metrics/probes/{key}.json"
    return found
