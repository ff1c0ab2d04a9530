"""The engine of machines that reach a dask scheduler. They need not share a file system with this one."""

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cloudpickle
from distributed import Client

from stiltwalk.data.own.files import FOLDER
from stiltwalk.sweep.engines import dask_worker
from stiltwalk.sweep.engines.dask_worker import EndTasks, end_tasks, run_task
from stiltwalk.sweep.graph import Task
from stiltwalk.sweep.records import Attempt, Job, read_attempts
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.files import partial_path

cloudpickle.register_pickle_by_value(dask_worker)


class DaskEngine:
    """Submits tasks as futures and publishes them, so that they outlive this process and the next one finds them."""

    def __init__(self, sweep: str, root: Path, attempts: Path, scheduler: str, gpus_per_task: int):
        self.sweep, self.root, self.attempts = sweep, root, attempts
        if not re.fullmatch(r"(tcp|tls)://[^:/]+:\d+", scheduler):
            raise InputError(f"--scheduler is {scheduler!r}; it must be like tcp://HOST:8786 or tls://HOST:8786")
        try:
            self.client = Client(scheduler, timeout=20, set_as_default=False)
        except (OSError, TimeoutError, ValueError):
            raise InputError(
                f"--scheduler {scheduler}: no dask scheduler answers there; start one, or see its address"
            ) from None
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        has_gpus = any("GPU" in worker["resources"] for worker in workers)
        self.resources = {"GPU": gpus_per_task} if has_gpus else {}
        known = self.client.get_dataset(sweep)[1:] if sweep in self.client.list_datasets() else ()
        self.futures = {future.key.removeprefix(sweep).rpartition(":")[0]: future for future in known}

    def submit(self, tasks: Sequence[Task], jobs: Sequence[Job]) -> int:
        self.client.register_plugin(EndTasks())
        files = self._pack(Path(jobs[0].bundle))
        version = hashlib.sha256(repr(files).encode()).hexdigest()[:12]
        code: Any = self.client.submit(dict, files, key=f"{self.sweep}code:{version}", pure=False)
        old = {future.key for future in self.futures.values()}
        failures = {task: sum(one.status != 0 for one in group) for task, group in read_attempts(self.attempts).items()}
        tries: dict[str, int] = {}  # a key is new where the task, or one that it needs, has failed
        for number, (task, job) in enumerate(zip(tasks, jobs, strict=True)):
            tries[task.name] = failures.get(task.name, 0) + sum(tries.get(name, 0) for name in task.after)
            self.futures[task.name] = self.client.submit(
                ByValue(run_task),
                code,
                version,
                vars(job),
                *(self.futures[name] for name in task.after if name in self.futures),
                key=f"{self.sweep}{task.name}:{tries[task.name]}",
                pure=False,
                priority=-number,
                resources=self.resources,
            )
        self.client.publish_dataset((code, *self.futures.values()), name=self.sweep, override=True)
        return len({future.key for future in self.futures.values()} - old)

    def _pack(self, bundle: Path) -> dict[str, bytes]:
        """Return the repository's bundle and the user's own data, by path."""
        own = {path for path in (self.root / FOLDER).rglob("*") if path.is_file()}
        files = {f"own/{path.relative_to(self.root / FOLDER)}": path.read_bytes() for path in sorted(own)}
        return {"bundle": bundle.read_bytes()} | files

    def states(self) -> dict[str, str]:
        """Collect what has ended, and return the state of the rest."""
        running = {key for keys in self.client.processing().values() for key in keys}
        states = {}
        for task, future in list(self.futures.items()):
            if not future.done():
                states[task] = "running" if future.key in running else "waiting"
                continue
            if future.status == "finished":
                self._collect(future.result())
            elif future.status == "error":
                self._record_error(task, future)
            del self.futures[task]
        if not self.futures and self.sweep in self.client.list_datasets():
            self.client.unpublish_dataset(self.sweep)
        return states

    def _record_error(self, task: str, future: Any) -> None:
        """Write an attempt for a task of which dask lost several workers."""
        attempt = Attempt(task, [], 0, ended=time.time(), status=1, last_line=str(future.exception()), key="dask")
        attempt.write(self.attempts)

    def _collect(self, result: dict[str, Any]) -> None:
        """Write the attempt, and what lay beside it, where the launcher finds them."""
        for name, content in result["files"].items():
            partial = partial_path(self.attempts / Path(name).name)
            partial.write_bytes(content)
            partial.rename(self.attempts / Path(name).name)
        if result["attempt"]:
            Attempt(**result["attempt"]).write(self.attempts)

    def cancel(self) -> None:
        self.client.cancel(list(self.futures.values()), force=True)  # the published ones too
        self.client.unpublish_dataset(self.sweep)
        self.client.run(end_tasks, sweep=str(self.attempts))


class ByValue:
    """A function that takes its code along where it is pickled, because other machines need not have Stiltwalk."""

    def __init__(self, function: Callable[..., Any]):
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return cloudpickle.loads, (cloudpickle.dumps(self.function),)
