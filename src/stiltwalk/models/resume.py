"""Resume trainings that were stopped, from a state that is saved every few minutes and when the process is to end.

States lie in .dvc/tmp/resume, or in the folder that STILTWALK_RESUME names. The name of a state contains a digest of
everything that the training depends on, so that no other training resumes from it. A state is no output of its stage,
and is removed when the stage is done.
"""

import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils.constants import RNG_STATE_NAME
from accelerate.utils.other import load
from safetensors.torch import load_file, save_file

from stiltwalk.utils.errors import InputError
from stiltwalk.utils.files import atomic_dir, partial_path, write_json
from stiltwalk.utils.locations import RESUME_FOLDER, RESUME_VARIABLE

INTERVAL_VARIABLE = "STILTWALK_SAVE_MINUTES"
FACTS = "facts.json"
SOURCE = Path(__file__).parents[2]  # src/
SHARED_CODE = ("stiltwalk/utils", "stiltwalk/models")  # what everything that resumes depends on
TRAINING_CODE = ("stiltwalk/training", "stiltwalk/perf", "stiltwalk/tasks")
"""Folders under src/ whose code a training or a search runs, beside the shared ones; part of the digest of its saved
state."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
STOPPED = 75  # exit status EX_TEMPFAIL of sysexits.h: a temporary failure, the same command may be run again
MAX_AGE = 30 * 24 * 3600  # seconds after which a state that nothing resumed from is removed

Tensors = dict[str, torch.Tensor]


class Resume:
    """The saved state of one training, and when to save it: at intervals, and at once after SIGTERM or Ctrl-C.

    As a context manager it receives these signals instead of the process's own handlers.
    """

    def __init__(self, name: str, facts: Any, code: Iterable[str], paths: Iterable[Path]):
        """Describe what the training depends on.

        facts: its parameters, as JSON. code: files and folders under src/ that it runs, beside SHARED_CODE. paths:
        files and folders that it reads.
        """
        self.root = Path(os.environ.get(RESUME_VARIABLE, RESUME_FOLDER))
        self.interval = 60 * minutes()
        """Seconds between saved states; 0 for never."""
        self.name, self.facts = name, facts
        self.paths = [*(SOURCE / part for part in (*SHARED_CODE, *code)), *paths]
        self.last_save = time.monotonic()
        self.stop_requested = False
        self.curves_folder: Path | None = None
        """Where curves are recorded, if they are."""
        self.given_up: list[str] = []
        """Why each attempt of the training before this one was given up."""

    @cached_property
    def folder(self) -> Path:
        """The folder of the state."""
        return self.root / f"{self.name}-{digest(self.facts, self.paths)}"

    def __enter__(self) -> "Resume":
        self.handlers: dict[int, Any] = {number: signal.signal(number, self._request_stop) for number in STOP_SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        self.stop_requested = True
        # A second Ctrl-C ends the process at once. SIGTERM may come several times when a parent dies: once from every
        # thread of a parent that its children are handed on to.
        if number == signal.SIGINT:
            signal.signal(number, self.handlers[number])

    @property
    def is_saved(self) -> bool:
        """Whether there is a state to resume from."""
        return (self.folder / FACTS).is_file()

    def due(self, accelerator: Accelerator, requested: bool = False) -> bool:
        """Return whether to save the state now; the same in all processes.

        It is due if a process is to end, or if in the main process the interval has passed or `requested` is true.
        """
        interval_passed = self.interval > 0 and time.monotonic() - self.last_save >= self.interval
        due = self.stop_requested or (accelerator.is_main_process and (interval_passed or requested))
        if accelerator.num_processes == 1:
            return due  # without waiting for a GPU
        if due:
            accelerator.set_trigger()
        return accelerator.check_trigger()

    def reasons(self) -> list[str]:
        """Return why each attempt before this one was given up, also those before the training was stopped."""
        if self.is_saved and not self.given_up:
            self.given_up = json.loads((self.folder / FACTS).read_text(encoding="utf-8"))["attempts"]
        return self.given_up

    def give_up(self, accelerator: Accelerator, why: str) -> None:
        """Forget the state and the curves of an attempt; the next one starts from the beginning."""
        self.given_up = [*self.given_up, why]
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            shutil.rmtree(self.folder, ignore_errors=True)
            for path in self.curves_folder.iterdir() if self.curves_folder else ():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        accelerator.wait_for_everyone()

    def save(
        self, accelerator: Accelerator, facts: dict[str, Any], local_tensors: Tensors, shared_tensors: Tensors
    ) -> None:
        """Save model, optimizer and random states as Accelerate does, together with what is given.

        facts: as JSON. local_tensors: of this process. shared_tensors: equal in all processes. The folder appears whole
        or not at all.
        """
        is_main = accelerator.is_main_process
        with atomic_dir(self.folder) if is_main else nullcontext(partial_path(self.folder)) as folder:
            accelerator.wait_for_everyone()
            accelerator.save_state(str(folder))
            save_file(local_tensors, folder / f"process-{accelerator.process_index}.safetensors")
            accelerator.wait_for_everyone()
            if is_main:
                save_file(shared_tensors, folder / "shared.safetensors")
                if self.curves_folder:
                    shutil.copytree(self.curves_folder, folder / "curves")
                (folder / FACTS).write_text(json.dumps(facts | {"attempts": self.given_up}), encoding="utf-8")
                for path in folder.rglob("*"):
                    if path.is_file():
                        _flush_to_disk(path)
        if is_main:
            _flush_to_disk(self.root)
        accelerator.wait_for_everyone()
        self.last_save = time.monotonic()

    def load(self, accelerator: Accelerator) -> tuple[dict[str, Any], Tensors, Tensors]:
        """Load the state into what the accelerator prepared; return facts, local tensors and shared tensors."""
        try:
            random_state = self.folder / f"{RNG_STATE_NAME}_{accelerator.process_index}.pkl"
            load(random_state)  # load_state continues silently if it cannot read this file
            accelerator.load_state(str(self.folder))
            facts = json.loads((self.folder / FACTS).read_text(encoding="utf-8"))
            local_tensors = load_file(self.folder / f"process-{accelerator.process_index}.safetensors")
            return facts, local_tensors, load_file(self.folder / "shared.safetensors")
        except Exception as error:
            raise InputError(
                f"{self.folder} holds a state that cannot be read ({' '.join(str(error).split())[:200]}); remove it"
            ) from None

    def compute_once(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return what `compute` returns, as JSON; read it from a file if the same work, stopped later, computed it."""
        path = self.folder / f"{name}.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
        result = compute()
        if self.interval:
            write_json(result, path)
        return result

    def restore_curves(self, folder: Path) -> bool:
        """Copy the saved curves into the recorder's folder; return False if there are none."""
        if not (self.folder / "curves").is_dir():
            return False
        shutil.copytree(self.folder / "curves", folder, dirs_exist_ok=True)
        return True

    def remove(self) -> None:
        """Remove the state, which is of no more use, and all states that are too old."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for other in self.root.glob("*"):
            if time.time() - other.stat().st_mtime > MAX_AGE:
                shutil.rmtree(other, ignore_errors=True)


def minutes() -> float:
    """Return the minutes between saved states; 0 for never. They change no result, so they are no parameter."""
    text = os.environ.get(INTERVAL_VARIABLE, "10")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise InputError(f"{INTERVAL_VARIABLE} is {text!r}; it must be a number of minutes, or 0 for never")
    return value


def digest(facts: Any, paths: Iterable[Path]) -> str:
    """Return a digest of parameters, of the contents of files and folders, of torch, and of the number of processes."""
    result = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    result.update(f"{torch.__version__} {os.environ.get('WORLD_SIZE', 1)}".encode())
    for path in paths:
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        for file in files:
            if file.suffix != ".pyc":
                with file.open("rb") as content:
                    result.update(str(file.relative_to(path.parent)).encode())
                    result.update(hashlib.file_digest(content, "sha256").digest())
    return result.hexdigest()[:16]


def _flush_to_disk(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
