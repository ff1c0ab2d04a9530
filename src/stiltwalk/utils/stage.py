"""How scripts run: errors in one line, one writer per stage, and a record of how long each stage took."""

import contextlib
import ctypes
import fcntl
import functools
import inspect
import io
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from stiltwalk.utils.durations import record_duration
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.params import read_all_params
from stiltwalk.utils.process import enable_garbage_collection

LOCKS = Path(".dvc/tmp/running")
PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>
# Messages of the operating system that turn up in the errors of many libraries, each with its remedy.
REMEDIES = {
    "allocate memory": "free some memory, or halve micro_batch_tokens or prediction_tokens (docs/troubleshooting.md)",
    "No space left": "free some space there (docs/troubleshooting.md)",
    "Disk quota exceeded": "free some of your quota",
    "Read-only file system": "make the place writable",
    "Permission denied": "make the place writable for you",
}


def run(main: Callable[..., None], *arguments: Any) -> None:
    """Call a script's main function. An InputError ends the script with one line and exit status 1.

    So do a full disk, a read-only place and too little memory: earlier outputs are still whole.
    """
    enable_garbage_collection()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a log shows each line at once
    try:
        main(*arguments)
    except InputError as error:
        sys.exit(f"error: {error}")
    except Exception as error:
        if (remedy := remedy_for(error)) is None:
            raise
        message = " ".join(str(error).split()) or type(error).__name__
        sys.exit(f"error: {message}: {remedy}, then run the same command again")


def remedy_for(error: Exception) -> str | None:
    """Return what to do about a full disk, a read-only place or a lack of memory; None for any other error."""
    if isinstance(error, MemoryError):
        return REMEDIES["allocate memory"]
    if "file write failed" in str(error) and not shutil.disk_usage(".").free:  # torch.save hides the reason
        return REMEDIES["No space left"]
    return next((remedy for message, remedy in REMEDIES.items() if message in str(error)), None)


def run_stage(main: Callable[..., None], *arguments: str) -> None:
    """Run a stage of the pipeline: like `run`, with one process at a time, and record how long it takes."""
    try:
        inspect.signature(main).bind(*arguments)
    except TypeError:
        names = " ".join(f"<{name}>" for name in inspect.signature(main).parameters)
        sys.exit(f"error: usage: python {sys.argv[0]} {names}; `dvc exp run` calls every stage as dvc.yaml says")
    is_main_process = int(os.environ.get("RANK", 0)) == 0
    end_with_parent()
    with exclusive(Path(sys.argv[0]).stem, *arguments) if is_main_process else contextlib.nullcontext():
        start = time.monotonic()
        run(_with_inputs(main), *arguments)
    if is_main_process:
        record_duration(read_all_params(), Path(sys.argv[0]).name, arguments, time.monotonic() - start)


def _with_inputs(main: Callable[..., None]) -> Callable[..., None]:
    """Return the main function of a stage, with an InputError where a file is missing that an earlier stage makes."""

    @functools.wraps(main)
    def checked(*arguments: str) -> None:
        try:
            main(*arguments)
        except FileNotFoundError as error:
            if not error.filename or Path(error.filename).is_absolute():
                raise
            raise InputError(f"{error.filename} is missing; `dvc repro` runs the stage that makes it") from None

    return checked


def end_with_parent() -> None:
    """Ask Linux to send SIGTERM when the parent dies, so that a killed `dvc` leaves no stage behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@contextlib.contextmanager
def exclusive(*name: str) -> Iterator[None]:
    """Wait until no other process runs this stage: one that outlived its `dvc` may still write the same outputs."""
    if not LOCKS.parent.is_dir():  # not a DVC repository
        yield
        return
    LOCKS.mkdir(exist_ok=True)
    with (LOCKS / "-".join(name)).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            print(f"waiting for process {lock.read()}, which still runs stage {' '.join(name)}", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
