"""What a sweep and its workers write down, in .dvc/tmp/sweep: together with Git, it tells any process how far they are.

<name>sweep.json says what the sweep is, and every file of <name>attempts/ what one worker did.
"""

import os
import socket
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stiltwalk.utils.files import read_json, write_json

STEP = "intermediate@"
CODE = "code/src"  # in the folder of a sweep: the code of its commit, which the workers run


def machine_name() -> str:
    """Return the name of this machine, which of several Slurm nodes on one machine is the node's."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


@dataclass(frozen=True)
class Job:
    """A task as a worker gets it. Paths are absolute."""

    task: str
    order: list[str]
    seed: int
    experiment: str
    """The name of the experiment; empty for other tasks."""
    commands: list[list[str]]
    """The arguments of `dvc exp run`, once or several times."""
    commit: str
    bundle: str
    """The Git bundle that has the commit."""
    attempts: str
    """The folder that gets the attempt."""
    dvc_config: str
    """What the clone's .dvc/config.local says: the shared cache, or the remote."""
    identity: dict[str, str]
    """Git's user.name and user.email."""
    own_data: str = ""
    """The folder of the user's own data; empty if there is none."""
    repository: str = ""
    """Where the experiment goes back; if empty, into a bundle beside the attempt."""
    remote: str = ""
    """The DVC remote from which outputs come and to which they go; empty with a shared cache."""
    scratch: str = ""
    """The folder of the clones; if empty, one on this machine's own disk."""
    resume: str = ""
    """The folder of saved states; if empty, one on this machine's own disk."""
    gpus: int = 1
    requeue: bool = False
    """Whether to queue the Slurm job again that SIGTERM ends."""
    own_version: str = ""
    """Changes with the user's own data."""


@dataclass
class Attempt:
    """One run of a task by one worker. A lost machine leaves an attempt without end."""

    task: str
    order: list[str]
    seed: int
    machine: str = field(default_factory=machine_name)
    begun: float = field(default_factory=time.time)
    ended: float = 0.0
    status: int | None = None
    """The exit status; None until it ends."""
    terminated: bool = False
    """Whether SIGTERM ended it, because it was stopped, preempted or out of time."""
    stage: str = ""
    """The stage that runs."""
    ran: list[str] = field(default_factory=list)
    """The stages that it ran to their end."""
    last_line: str = ""
    outputs: list[str] = field(default_factory=list)
    """The MD5 of what a task without an experiment made, as DVC's cache has them."""
    commands: list[list[str]] = field(default_factory=list)
    key: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def write(self, folder: Path) -> None:
        write_json(asdict(self), folder / f"{self.task}.{self.key}.json")


@dataclass(frozen=True)
class TaskRecord:
    """A task as it was planned."""

    after: list[str]
    experiment: str
    seconds: float
    """What it is expected to take."""


@dataclass(frozen=True)
class SweepRecord:
    """A sweep as it was last run."""

    commit: str
    engine: str
    engine_options: dict[str, Any]
    seeds: dict[str, list[str]]
    """The names of the experiments, by seed in the sequence in which they run."""
    tasks: dict[str, TaskRecord]
    """What was left to do, in the sequence of its priority."""

    @classmethod
    def read(cls, path: Path) -> "SweepRecord":
        content = read_json(path)
        return cls(**content | {"tasks": {name: TaskRecord(**task) for name, task in content["tasks"].items()}})

    def write(self, path: Path) -> None:
        write_json(asdict(self), path)


@dataclass(frozen=True)
class TaskState:
    """How a task is: finished, running, waiting, failed, stopped, lost, blocked by one of these, or not begun."""

    state: str
    machine: str = ""
    seconds: float = 0.0
    last_line: str = ""


def read_attempts(folder: Path) -> dict[str, list[Attempt]]:
    """Return the attempts of every task, oldest first."""
    attempts: dict[str, list[Attempt]] = {}
    for path in folder.glob("*.json"):
        attempt = Attempt(**read_json(path))
        attempts.setdefault(attempt.task, []).append(attempt)
    return {task: sorted(group, key=lambda attempt: attempt.begun) for task, group in attempts.items()}


def find_states(
    record: SweepRecord, attempts: Mapping[str, list[Attempt]], finished: Set[str], live: Mapping[str, str]
) -> dict[str, TaskState]:
    """Return the state of every task. finished: experiments that Git has. live: what the engine says of its tasks.

    The engine only says which tasks run or wait. Git and the attempts say which have finished or failed.
    """
    states: dict[str, TaskState] = {}
    for name, task in record.tasks.items():
        last = attempts[name][-1] if name in attempts else None
        if task.experiment in finished or (not task.experiment and last and last.status == 0):
            state = "finished"
        elif live.get(name, "").startswith("running"):
            state = "running"
        elif any(states[parent].state in ("failed", "lost", "blocked") for parent in task.after if parent in states):
            state = "blocked"
        elif name in live:
            state = live[name]
        elif last is None:
            state = "not begun"
        elif last.status is None:
            state = "lost"
        else:
            state = "stopped" if last.terminated else "failed"
        if last is None or state in ("waiting", "blocked"):
            states[name] = TaskState(state)
        else:
            end = time.time() if state == "running" else last.ended or last.begun
            states[name] = TaskState(state, last.machine, end - last.begun, last.last_line)
    return states


def count_trainings(attempts: Iterable[Attempt]) -> Counter[tuple[tuple[str, ...], int]]:
    """Count how often the attempts trained each step (prefix of an order, seed) to its end."""
    return Counter(
        (tuple(attempt.order[: int(stage.removeprefix(STEP).split("-")[0])]), attempt.seed)
        for attempt in attempts
        for stage in attempt.ran
        if stage.startswith(STEP)
    )
