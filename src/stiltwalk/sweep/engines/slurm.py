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
from stiltwalk.sweep.records import CODE, Job
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.files import write_json

# Slurm tells the batch script alone, three minutes before the time is over, and queues a job again whose node is lost.
OPTIONS = ("--parsable", "--requeue", "--open-mode=append", "--signal=B:TERM@180")
AT_ONCE = 8  # calls of sbatch, which spend their time waiting for the controller


class SlurmEngine:
    """Submits tasks with sbatch. The names of the jobs begin with the sweep's own, so that any process finds them."""

    def __init__(self, sweep: str, folder: Path, options: str, shared_options: str, max_queued: int):
        if shutil.which("sbatch") is None:
            raise InputError("--engine slurm: there is no sbatch here; run this on a login node of the cluster")
        self.sweep, self.folder, self.max_queued = sweep, folder, max_queued
        try:
            self.options = {False: shlex.split(options), True: shlex.split(shared_options or options)}
        except ValueError as error:
            raise InputError(f"--options or --shared-options: {error}; close the quotation mark") from None

    def submit(self, tasks: Sequence[Task], jobs: Sequence[Job]) -> int:
        listed = self._list()
        numbers = {task: number for task, (number, _, _) in listed.items()}
        missing, stale = {task.name for task in tasks} - numbers.keys(), []
        for task in tasks:  # a job that waits for one that has ended without success would wait for ever
            if task.name in numbers and listed[task.name][1] != "running" and missing & {*task.after}:
                stale.append(numbers.pop(task.name))
                missing.add(task.name)
        _run("scancel", "--quiet", *stale)
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
        script = f"#!/bin/bash\nexport PYTHONPATH={shlex.quote(str(self.folder / CODE))}\nexec {command}\n"
        words = [
            *OPTIONS,
            f"--job-name={self.sweep}{task.name}",
            f"--output={str(self.folder / task.name).replace('%', '%%')}.log",
        ]
        # A task that has ended is not named: Slurm forgets its number after a while.
        if after := [numbers[name] for name in task.after if name in numbers]:
            words.append(f"--dependency=afterok:{':'.join(after)}")
        return _run("sbatch", *words, *self.options[task.is_shared], stdin=script).strip().split(";")[0]

    def states(self) -> dict[str, str]:
        return {task: state for task, (_, state, _) in self._list().items()}

    def _list(self) -> dict[str, tuple[str, str, str]]:
        """Return number, state and node of the sweep's queued and running jobs, by task."""
        listed = {}
        for line in _run("squeue", "--noheader", "--me", "--format=%i|%T|%N|%j").splitlines():
            number, state, node, name = line.split("|", 3)
            if name.startswith(self.sweep):
                listed[name.removeprefix(self.sweep)] = (number, "waiting" if state == "PENDING" else "running", node)
        return listed

    def cancel(self) -> None:
        _run("scancel", "--quiet", *(number for number, _, _ in self._list().values()))


def _run(program: str, *arguments: str, stdin: str = "") -> str:
    """Run a program of Slurm and return what it prints. Raises InputError with its last line if it fails."""
    if program == "scancel" and not set(arguments) - {"--quiet"}:
        return ""
    done = subprocess.run([program, *arguments], input=stdin, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"`{program}` failed: {(done.stderr.strip().splitlines() or ['it printed no error'])[-1]}")
    return done.stdout
