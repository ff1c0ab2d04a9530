"""Where a training that was stopped goes on: its whole state, saved every few minutes and when it is told to end.

A state lies in .dvc/tmp/resume (or where STILTWALK_RESUME says) under a digest of all that the training depends on, so
that it is never taken up by another one; it is no output of the stage, and is removed when that is done.
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
from stiltwalk.utils.stage import STATES, STATES_VARIABLE, partial_of, whole_folder, write_json

EVERY = "STILTWALK_SAVE_MINUTES"
FACTS = "facts.json"
SOURCE = Path(__file__).parents[1]
TOLD = (signal.SIGTERM, signal.SIGINT)
ENDED = 75  # EX_TEMPFAIL of sysexits.h: a temporary failure, the same command may be tried again
FORGOTTEN = 30 * 24 * 3600  # seconds until a state that nobody took up is removed


class Resume:
    """The saved state of one training; it falls due `every` seconds, and at once on SIGTERM and Ctrl-C."""

    def __init__(self, name: str, facts: Any, code: Iterable[str], paths: Iterable[Path]):
        """facts: parameters, as JSON. code: what it runs of src/. paths: files and folders that it reads."""
        self.root = Path(os.environ.get(STATES_VARIABLE, STATES))
        self.every = 60 * minutes()
        self.name, self.facts = name, facts
        self.paths = [*(SOURCE / part for part in ("common", "modeling", *code)), *paths]
        self.last = time.monotonic()
        self.told = False
        self.recorded: Path | None = None
        """Where curves are recorded."""
        self.given_up: list[str] = []

    @cached_property
    def folder(self) -> Path:
        return self.root / f"{self.name}-{digest(self.facts, self.paths)}"

    def __enter__(self) -> "Resume":
        self.before: dict[int, Any] = {number: signal.signal(number, self._told) for number in TOLD}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _told(self, number: int, frame: FrameType | None) -> None:
        self.told = True
        # The second Ctrl-C ends it at once. SIGTERM may come several times for one death of a parent: from each thread
        # that its children are handed on to.
        if number == signal.SIGINT:
            signal.signal(number, self.before[number])

    @property
    def found(self) -> bool:
        return (self.folder / FACTS).is_file()

    def due(self, accelerator: Accelerator, wanted: bool = False) -> bool:
        """Whether it is wanted, a process is told to end, or the main one's time is over: the same in all processes."""
        over = self.every > 0 and time.monotonic() - self.last >= self.every
        due = self.told or (accelerator.is_main_process and (over or wanted))
        if accelerator.num_processes == 1:
            return due  # without waiting for a GPU
        if due:
            accelerator.set_trigger()
        return accelerator.check_trigger()

    def attempts(self) -> list[str]:
        """Why each attempt before this one was given up."""
        if self.found and not self.given_up:
            self.given_up = json.loads((self.folder / FACTS).read_text(encoding="utf-8"))["attempts"]
        return self.given_up

    def give_up(self, accelerator: Accelerator, why: str) -> None:
        """Forget the state and the curves of an attempt; the next one starts anew."""
        self.given_up = [*self.given_up, why]
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            shutil.rmtree(self.folder, ignore_errors=True)
            for path in self.recorded.iterdir() if self.recorded else ():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        accelerator.wait_for_everyone()

    def save(
        self,
        accelerator: Accelerator,
        facts: dict[str, Any],
        own: dict[str, torch.Tensor],
        shared: dict[str, torch.Tensor],
    ) -> None:
        """Model, optimizer and random numbers as Accelerate saves them, and beside them what is given.

        facts: as JSON. own: tensors of this process. shared: of all alike. The folder appears whole or not at all.
        """
        main = accelerator.is_main_process
        with whole_folder(self.folder) if main else nullcontext(partial_of(self.folder)) as folder:
            accelerator.wait_for_everyone()
            accelerator.save_state(str(folder))
            save_file(own, folder / f"process-{accelerator.process_index}.safetensors")
            accelerator.wait_for_everyone()
            if main:
                save_file(shared, folder / "shared.safetensors")
                if self.recorded:
                    shutil.copytree(self.recorded, folder / "curves")
                (folder / FACTS).write_text(json.dumps(facts | {"attempts": self.given_up}), encoding="utf-8")
                for path in folder.rglob("*"):
                    if path.is_file():
                        _to_disk(path)
        if main:
            _to_disk(self.root)
        accelerator.wait_for_everyone()
        self.last = time.monotonic()

    def load(self, accelerator: Accelerator) -> tuple[dict[str, Any], dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Put the saved state into what the accelerator prepared; give facts, own and shared tensors back."""
        try:
            numbers = self.folder / f"{RNG_STATE_NAME}_{accelerator.process_index}.pkl"
            load(numbers)  # load_state goes on without a word where it cannot read them
            accelerator.load_state(str(self.folder))
            facts = json.loads((self.folder / FACTS).read_text(encoding="utf-8"))
            own = load_file(self.folder / f"process-{accelerator.process_index}.safetensors")
            return facts, own, load_file(self.folder / "shared.safetensors")
        except Exception as error:
            raise InputError(
                f"{self.folder} holds a state that cannot be read ({' '.join(str(error).split())[:200]}); remove it"
            ) from None

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """What is computed, as JSON: at once where the same work, stopped later on, had come so far."""
        path = self.folder / f"{name}.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
        found = compute()
        if self.every:
            write_json(found, path)
        return found

    def curves(self, folder: Path) -> bool:
        """Lay what was recorded before into the recorder's folder; False where there is nothing."""
        if not (self.folder / "curves").is_dir():
            return False
        shutil.copytree(self.folder / "curves", folder, dirs_exist_ok=True)
        return True

    def remove(self) -> None:
        """Drop the state, which is of no more use, and all that were forgotten."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for other in self.root.glob("*"):
            if time.time() - other.stat().st_mtime > FORGOTTEN:
                shutil.rmtree(other, ignore_errors=True)


def minutes() -> float:
    """How often a state is saved; 0 is never. It changes no result, and so is no parameter of a stage."""
    text = os.environ.get(EVERY, "10")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise InputError(f"{EVERY} is {text!r}; it must be a number of minutes, or 0 for never")
    return value


def digest(facts: Any, paths: Iterable[Path]) -> str:
    """Of parameters, the contents of files and folders, torch, and the number of processes."""
    found = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    found.update(f"{torch.__version__} {os.environ.get('WORLD_SIZE', 1)}".encode())
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.suffix != ".pyc":
                with file.open("rb") as content:
                    found.update(str(file.relative_to(path.parent)).encode())
                    found.update(hashlib.file_digest(content, "sha256").digest())
    return found.hexdigest()[:16]


def _to_disk(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
