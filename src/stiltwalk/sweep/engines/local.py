"""The engine of one machine: a process for each task."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from stiltwalk.sweep.graph import Task
from stiltwalk.sweep.records import CODE, Job
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.files import write_json

SECONDS_TO_SAVE = 30


class LocalEngine:
    """Runs up to `slots` tasks at a time. `states` also starts the tasks that can begin."""

    def __init__(self, slots: int, folder: Path, gpus_per_task: int, share_gpus: bool):
        self.slots, self.folder = slots, folder
        self.environments = [share_out(number, slots, gpus_per_task, share_gpus) for number in range(slots)]
        self.waiting: list[tuple[Task, Job]] = []
        self.running: dict[int, tuple[Task, subprocess.Popen[bytes]]] = {}
        self.failed: set[str] = set()

    def submit(self, tasks: Sequence[Task], jobs: Sequence[Job]) -> int:
        self.waiting = list(zip(tasks, jobs, strict=True))
        return len(tasks)

    def states(self) -> dict[str, str]:
        for slot, (task, process) in list(self.running.items()):
            if process.poll() is not None:
                del self.running[slot]
                self.failed |= {task.name} if process.returncode else set()
        for task, job in list(self.waiting):
            unfinished = {one.name for one, _ in [*self.waiting, *self.running.values()]} & {*task.after}
            free = [slot for slot in range(self.slots) if slot not in self.running]
            if self.failed & {*task.after}:
                self.failed.add(task.name)
                self.waiting.remove((task, job))
            elif free and not unfinished:
                self.waiting.remove((task, job))
                self.running[free[0]] = task, self._start(job, free[0])
        return {task.name: "waiting" for task, _ in self.waiting} | {
            task.name: "running" for task, _ in self.running.values()
        }

    def _start(self, job: Job, slot: int) -> subprocess.Popen[bytes]:
        path = self.folder / f"{job.task}.job.json"
        write_json(vars(job), path)
        environment = os.environ | self.environments[slot] | {"PYTHONPATH": str(self.folder / CODE)}
        with (self.folder / f"{job.task}.log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "stiltwalk.sweep.worker", str(path)],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C goes to the sweep only, which ends its tasks itself
            )

    def cancel(self) -> None:
        self.waiting.clear()
        processes = [process for _, process in self.running.values()]
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + SECONDS_TO_SAVE
        while time.monotonic() < deadline and any(process.poll() is None for process in processes):
            time.sleep(0.1)
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)


def share_out(slot: int, slots: int, gpus_per_task: int, share_gpus: bool) -> dict[str, str]:
    """Return the environment of a slot: GPUs of its own, and an equal share of the cores.

    Raises InputError if there are too few GPUs, unless tasks may share them.
    """
    cores = str(max(1, len(os.sched_getaffinity(0)) // slots))
    environment = {} if slots == 1 or "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": cores}
    gpus = visible_gpus(os.environ)
    if gpus and len(gpus) < slots * gpus_per_task and not share_gpus:
        raise InputError(
            f"{slots * gpus_per_task} GPUs are needed and there are {len(gpus)}; lower --jobs or --gpus-per-task, "
            "or let tasks share a GPU with --share-gpus"
        )
    if gpus:
        mine = [gpus[(slot * gpus_per_task + number) % len(gpus)] for number in range(gpus_per_task)]
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(dict.fromkeys(mine))
    return environment


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES names; if it is not set, all that nvidia-smi lists."""
    if (names := environment.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in names.split(",") if name]
    if (program := shutil.which("nvidia-smi", path=environment.get("PATH"))) is None:
        return []
    lines = subprocess.run([program, "--list-gpus"], capture_output=True, text=True).stdout.splitlines()
    return [str(number) for number in range(sum(line.startswith("GPU ") for line in lines))]
