"""The engine of a Slurm cluster: a job for each task, with Slurm's own dependencies. Nothing of ours keeps running."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, repeat
from pathlib import Path

from stiltwalk.sweep.graph import Task
from stiltwalk.sweep.records import Job
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.files import write_json

SOURCE = Path(__file__).resolve().parents[3]
# Slurm tells the batch script alone, three minutes before the time is over, and queues a job again whose node is lost.
OPTIONS = ("--parsable", "--requeue", "--open-mode=append", "--signal=B:TERM@180")
AT_ONCE = 8  # calls of sbatch, which spend their time waiting for the controller
NEVER = "DependencyNeverSatisfied"


class SlurmEngine:
    """Submits tasks with sbatch. The names of the jobs begin with the sweep's own, so that any process finds them."""

    def __init__(self, sweep: str, folder: Path, options: str, shared_options: str, max_queued: int):
        if shutil.which("sbatch") is None:
            raise InputError("--engine slurm: there is no sbatch here; run this on a login node of the cluster")
        self.sweep, self.folder, self.max_queued = sweep, folder, max_queued
        self.options = {False: shlex.split(options), True: shlex.split(shared_options or options)}

    def submit(self, tasks: Sequence[Task], jobs: Sequence[Job]) -> int:
        listed = self._list()
        _run("scancel", *(number for number, state, _ in listed.values() if state == "blocked"))
        numbers = {task: number for task, (number, state, _) in listed.items() if state != "blocked"}
        room = max(0, self.max_queued - len(numbers)) if self.max_queued else len(tasks)
        new = [(task, job) for task, job in zip(tasks, jobs, strict=True) if task.name not in numbers][:room]
        level: dict[str, int] = {}
        for task, _ in new:
            level[task.name] = max((level.get(name, 0) + 1 for name in task.after), default=0)
        new.sort(key=lambda pair: level[pair[0].name])  # stable: the priority stays
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _, group in groupby(new, key=lambda pair: level[pair[0].name]):
                pairs = list(group)
                found = pool.map(self._submit, *zip(*pairs, strict=True), repeat(numbers))
                numbers |= {task.name: number for (task, _), number in zip(pairs, found, strict=True)}
        return len(new)

    def _submit(self, task: Task, job: Job, numbers: dict[str, str]) -> str:
        path = self.folder / f"{task.name}.job.json"
        write_json(vars(job), path)
        command = shlex.join([sys.executable, "-m", "stiltwalk.sweep.worker", str(path)])
        script = f"#!/bin/bash\nexport PYTHONPATH={shlex.quote(str(SOURCE))}\nexec {command}\n"
        words = [*OPTIONS, f"--job-name={self.sweep}{task.name}", f"--output={self.folder / task.name}.log"]
        # A task that has ended is not named: Slurm forgets its number after a while.
        if after := [numbers[name] for name in task.after if name in numbers]:
            words.append(f"--dependency=afterok:{':'.join(after)}")
        return _run("sbatch", *words, *self.options[not task.after], stdin=script).strip().split(";")[0]

    def states(self) -> dict[str, str]:
        return {
            task: f"running {node}".strip() if state == "running" else state
            for task, (_, state, node) in self._list().items()
        }

    def _list(self) -> dict[str, tuple[str, str, str]]:
        """Return number, state and node of the sweep's queued and running jobs, by task."""
        listed = {}
        for line in _run("squeue", "--noheader", "--me", "--format=%i|%T|%r|%N|%j").splitlines():
            number, state, reason, node, name = line.split("|", 4)
            if name.startswith(self.sweep):
                waits = "blocked" if reason == NEVER else "waiting"
                listed[name.removeprefix(self.sweep)] = (number, waits if state == "PENDING" else "running", node)
        return listed

    def cancel(self) -> None:
        _run("scancel", *(number for number, _, _ in self._list().values()))


def _run(program: str, *arguments: str, stdin: str = "") -> str:
    """Run a program of Slurm and return what it prints. Raises InputError with its last line if it fails."""
    if program == "scancel" and not arguments:
        return ""
    done = subprocess.run([program, *arguments], input=stdin, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"`{program}` failed: {(done.stderr.strip().splitlines() or ['it printed no error'])[-1]}")
    return done.stdout
