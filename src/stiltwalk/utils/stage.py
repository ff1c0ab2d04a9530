"""What every stage script shares: its parameters, outputs that appear whole or not at all, errors in one line."""

import contextlib
import csv
import ctypes
import fcntl
import gc
import inspect
import io
import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from stiltwalk.utils.durations import note
from stiltwalk.utils.errors import InputError

PARAMS, WORLD = Path("params.yaml"), Path("data/world.json")
# Where stopped trainings lie (modeling/resume.py), and what says otherwise.
STATES, STATES_VARIABLE = Path(".dvc/tmp/resume"), "STILTWALK_RESUME"
RUNNING = Path(".dvc/tmp/running")
DEATH_OF_PARENT = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
# What the system says of what it cannot give, in whatever error of a library, and what can be done.
CURES = {
    "allocate memory": "free some memory, or halve micro_batch_tokens or prediction_tokens (docs/trouble.md says how)",
    "No space left": "free some space there (docs/trouble.md says how)",
    "Disk quota exceeded": "free some of your quota",
    "Read-only file system": "make the place writable",
    "Permission denied": "make the place writable for you",
}

# How threads of OpenMP wait for each other; to be said before torch is imported. In loops for milliseconds, as they do
# by themselves, they make training ten times slower where another program has a core; asleep at once, a seventh slower
# where none has. GNU's loop for tens of microseconds first; Intel's and LLVM's know the first variable, and sleep.
WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}
for _variable, _value in WAITING.items():
    os.environ.setdefault(_variable, _value)

# What imports leave in memory stays: looking through it for garbage, while they run and at exit, takes a training stage
# a second and a half. `run` turns collection on again.
gc.disable()


def read_params(*keys: str) -> Any:
    """The values of dotted keys in params.yaml: one value for one key, a list for several.

    A stage reads only the keys that it declares under `params:` in dvc.yaml.
    """
    tree = _params()
    values = [_lookup(tree, key) for key in keys]
    return values[0] if len(keys) == 1 else values


def _params() -> Any:
    try:
        return read_yaml(PARAMS.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{PARAMS.resolve()} is missing; run this from the repository root") from None
    except yaml.YAMLError as error:
        raise InputError(f"{PARAMS} is not YAML: {' '.join(str(error).split())}") from None


def read_yaml(text: str) -> Any:
    """YAML, read in C where that is there."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def read_world() -> Any:
    """What the stage `world` wrote: seed and languages of the generated world, or None."""
    return json.loads(WORLD.read_text(encoding="utf-8"))


def _lookup(tree: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(tree, dict) or part not in tree:
            raise InputError(f"{PARAMS} has no '{key}'; `dvc exp run` composes the file anew from conf/")
        tree = tree[part]
    return tree


def partial_of(target: Path) -> Path:
    """Where a file or folder is written before it takes the place of `target`."""
    return target.with_name(f".{target.name}.partial")


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """An empty folder, partial_of(target), that takes the target's place when the block ends without an error."""
    partial = partial_of(target)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    # What lay there is moved away first: removing it takes long enough to be killed in, with neither in its place.
    old = partial_of(target.with_name(f"{target.name}.old"))
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def run(main: Callable[..., None], *arguments: Any) -> None:
    """Call a script's main function; an InputError ends it with its one line and exit status 1.

    So do a full disk, a place that must not be written to and too little memory: what was there before is still whole.
    """
    gc.freeze()
    gc.enable()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a log shows at once what is printed
    try:
        main(*arguments)
    except InputError as error:
        sys.exit(f"error: {error}")
    except Exception as error:
        if (cure := cure_of(error)) is None:
            raise
        said = " ".join(str(error).split()) or type(error).__name__
        sys.exit(f"error: {said}: {cure}, then run the same command again")


def cure_of(error: Exception) -> str | None:
    """What to do about a disk, a place or a memory that is not to be had; None where the error is another one."""
    if isinstance(error, MemoryError):
        return CURES["allocate memory"]
    if "file write failed" in str(error) and not shutil.disk_usage(".").free:  # torch.save does not say why
        return CURES["No space left"]
    return next((cure for said, cure in CURES.items() if said in str(error)), None)


def run_stage(main: Callable[..., None], *arguments: str) -> None:
    """The same for a stage of the pipeline, which is written by one process at a time and whose time is noted."""
    try:
        inspect.signature(main).bind(*arguments)
    except TypeError:
        names = " ".join(f"<{name}>" for name in inspect.signature(main).parameters)
        sys.exit(f"error: usage: python {sys.argv[0]} {names}; `dvc exp run` calls every stage as dvc.yaml says")
    first = int(os.environ.get("RANK", 0)) == 0
    end_with_parent()
    begun = time.monotonic()
    with alone(Path(sys.argv[0]).stem, *arguments) if first else contextlib.nullcontext():
        run(main, *arguments)
    if first:
        note(_params(), Path(sys.argv[0]).name, arguments[0] if arguments else "", time.monotonic() - begun)


def end_with_parent() -> None:
    """Get SIGTERM when the process that started this one is gone: a killed `dvc` leaves no stage behind (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DEATH_OF_PARENT, signal.SIGTERM)


@contextlib.contextmanager
def alone(*name: str) -> Iterator[None]:
    """Wait until no other process is in this block: one that lost its `dvc` may still be writing the same outputs."""
    if not RUNNING.parent.is_dir():  # no DVC runs here
        yield
        return
    RUNNING.mkdir(exist_ok=True)
    with (RUNNING / "-".join(name)).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            print(f"waits for process {lock.read()}, which still runs the stage {' '.join(name)}", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]], path: Path) -> None:
    """Write a table for DVC's plots."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])


def tidy(value: Any) -> Any:
    """The same as JSON has it: plain types, six digits, null for what is no number."""
    if isinstance(value, dict):
        return {str(name): tidy(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [tidy(item) for item in value]
    value = value.item() if hasattr(value, "item") else value  # of numpy
    if isinstance(value, float):
        return round(value, 6) + 0.0 if math.isfinite(value) else None
    return value


def write_json(value: Any, path: Path) -> None:
    """Write JSON that reads well in a diff; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(path)
    partial.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.rename(path)
