"""Where a sweep keeps what it records, and how far it is."""

import hashlib
import itertools
import json
import sys
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stiltwalk.sweep.engines.base import Engine
from stiltwalk.sweep.experiments import SWEEP_FILE, SWEEP_FOLDER, git
from stiltwalk.sweep.plan import Sweep
from stiltwalk.sweep.records import Attempt, SweepRecord, TaskState, count_trainings, find_states, read_attempts
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.text import count

POLL_SECONDS = 0.5
BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


@dataclass(frozen=True)
class Place:
    """The folder of a sweep, .dvc/tmp/sweep/<name and digest>, and what engines call it."""

    folder: Path
    root: Path

    @classmethod
    def of(cls, sweep: Sweep) -> "Place":
        commit, root = git("rev-parse", "HEAD", root=sweep.root).strip(), sweep.root.resolve()
        content = json.dumps([str(root), commit, sweep.prefix, sweep.overrides])
        name = f"{sweep.prefix}{hashlib.sha256(content.encode()).hexdigest()[:8]}"
        return cls(root / SWEEP_FOLDER / name, root)

    @classmethod
    def latest(cls, root: Path, name: str) -> "Place":
        """Return the place of the sweep of this name that was run last. Raises InputError if there is none."""
        files = (root.resolve() / SWEEP_FOLDER).glob(f"{name}.*/{SWEEP_FILE}" if name else f"*/{SWEEP_FILE}")
        if (file := max(files, key=lambda path: path.stat().st_mtime, default=None)) is None:
            known = sorted(
                {path.parent.name.rpartition(".")[0] for path in (root / SWEEP_FOLDER).glob(f"*/{SWEEP_FILE}")}
            )
            names = f"; names: {', '.join(filter(None, known)) or 'none'}" if name else ""
            raise InputError(f"no sweep {f'named {name} ' if name else ''}was run here{names}")
        return cls(file.parent, root.resolve())

    @property
    def attempts(self) -> Path:
        return self.folder / "attempts"

    @property
    def record(self) -> SweepRecord:
        return SweepRecord.read(self.folder / SWEEP_FILE)


def follow(engine: Engine, record: SweepRecord, place: Place) -> None:
    """Show a progress bar until all tasks have ended."""
    total = max(1, round(sum(task.seconds for task in record.tasks.values())))
    ended: set[str] = set()
    with tqdm(total=total, desc="0 experiments", bar_format=BAR, mininterval=1) as bar:
        while live := engine.states():
            if len(record.tasks) - len(live) > len(ended):
                ended = show_progress(record, place, set(record.tasks) - set(live), ended, bar)
            time.sleep(POLL_SECONDS)
        show_progress(record, place, set(record.tasks), ended, bar)


def show_progress(record: SweepRecord, place: Place, ended: set[str], before: set[str], bar: "tqdm[Any]") -> set[str]:
    """Advance the bar by what has ended since; returns what has ended."""
    states, attempts = read_states(record, place, {})
    for name in sorted(ended - before):
        if states[name].state == "failed":
            tqdm.write(f"failed: {describe_failure(name, states[name], place)}", file=sys.stderr)
    done = round(sum(record.tasks[name].seconds for name in ended))
    bar.update(max(0, done - round(bar.n)))
    n_experiments = sum(bool(task.experiment) for task in record.tasks.values())
    n_ended = sum(bool(record.tasks[name].experiment) for name in ended)
    bar.set_description_str(f"{n_ended} of {n_experiments} experiments", refresh=False)
    n_failed = sum(state.state == "failed" for state in states.values())
    failed = f", failed {n_failed}" if n_failed else ""
    bar.set_postfix_str(f"trained {count_trainings(attempts).total()}{failed}")
    return ended


def read_states(record: SweepRecord, place: Place, live: dict[str, str]) -> tuple[dict[str, TaskState], list[Attempt]]:
    """Return the states of all tasks and what their attempts did, after fetching what came back in bundles."""
    for bundle in place.attempts.glob("*.bundle"):
        git("fetch", "--quiet", str(bundle), "+refs/exps/*:refs/exps/*", root=place.root)
        bundle.unlink(missing_ok=True)
    attempts = read_attempts(place.attempts)
    finished = finished_names(place.root, record.commit)
    return find_states(record, attempts, finished, live), list(itertools.chain(*attempts.values()))


def finished_names(root: Path, commit: str) -> Set[str]:
    """Return the names of the experiments of a commit."""
    prefix = f"refs/exps/{commit[:2]}/{commit[2:]}/"
    return {line.removeprefix(prefix) for line in git("for-each-ref", prefix, "--format=%(refname)", root=root).split()}


def describe_failure(name: str, state: TaskState, place: Place) -> str:
    return f"{name}: {state.last_line} (whole log: {(place.folder / name).relative_to(place.root)}.log)"


def report(record: SweepRecord, place: Place, finished_before: int) -> None:
    """Print what the sweep did. Raises InputError if tasks failed or a step was trained twice."""
    states, attempts = read_states(record, place, {})
    experiments = {name: states[name] for name, task in record.tasks.items() if task.experiment}
    n_finished = sum(state.state == "finished" for state in experiments.values())
    print(f"{n_finished} experiments finished ({finished_before} had finished before); {describe_steps(attempts)}")
    check_repetitions(attempts)
    if n_missing := len(experiments) - n_finished:
        ends = [(name, state) for name, state in states.items() if state.state in ("failed", "lost", "stopped")]
        reason = f", because of: {describe_failure(*ends[0], place)}" if ends else ""
        raise InputError(f"{count(n_missing, 'experiment')} did not finish{reason}")


def describe_steps(attempts: Sequence[Attempt]) -> str:
    """Return how many steps the workers trained."""
    trained = count_trainings(attempts)
    again = trained.total() - len(trained)
    return f"steps trained: {len(trained)}, " + (f"{again} of them again after a loss" if again else "each once")


def check_repetitions(attempts: Sequence[Attempt]) -> None:
    """Raise InputError if two workers trained the same step and neither failed or was lost."""
    whole = count_trainings(attempt for attempt in attempts if attempt.status == 0)
    if repeated := [f"{'-'.join(steps)} with seed {seed}" for (steps, seed), n in whole.items() if n > 1]:
        raise InputError(f"these steps were trained more than once, which the run cache should prevent: {repeated}")
