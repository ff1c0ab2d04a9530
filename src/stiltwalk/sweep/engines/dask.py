"""The engine of machines that reach a dask scheduler. They need not share a file system with this one."""

import io
import tarfile
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

cloudpickle.register_pickle_by_value(dask_worker)


class DaskEngine:
    """Submits tasks as futures and publishes them, so that they outlive this process and the next one finds them."""

    def __init__(self, sweep: str, root: Path, attempts: Path, scheduler: str, gpus_per_task: int):
        self.sweep, self.root, self.attempts = sweep, root, attempts
        try:
            self.client = Client(scheduler, timeout=20, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(f"--scheduler {scheduler}: no dask scheduler answers there ({error})") from None
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        has_gpus = any("GPU" in worker["resources"] for worker in workers)
        self.resources = {"GPU": gpus_per_task} if has_gpus else {}
        known = self.client.get_dataset(sweep)[1:] if sweep in self.client.list_datasets() else ()
        self.futures = {future.key.removeprefix(sweep).rpartition(":")[0]: future for future in known}

    def submit(self, tasks: Sequence[Task], jobs: Sequence[Job]) -> int:
        self.client.register_plugin(EndTasks())
        code = self.client.submit(bytes, self._pack(jobs), key=f"{self.sweep}code", pure=False)
        old = {future.key for future in self.futures.values()}
        failures = {task: sum(one.status != 0 for one in group) for task, group in read_attempts(self.attempts).items()}
        tries: dict[str, int] = {}  # a key is new where the task, or one that it needs, has failed
        for number, (task, job) in enumerate(zip(tasks, jobs, strict=True)):
            tries[task.name] = failures.get(task.name, 0) + sum(tries.get(name, 0) for name in task.after)
            self.futures[task.name] = self.client.submit(
                ByValue(run_task),
                code,
                vars(job),
                *(self.futures[name] for name in task.after if name in self.futures),
                key=f"{self.sweep}{task.name}:{tries[task.name]}",
                pure=False,
                priority=-number,
                resources=self.resources,
            )
        self.client.publish_dataset((code, *self.futures.values()), name=self.sweep, override=True)
        return len({future.key for future in self.futures.values()} - old)

    def _pack(self, jobs: Sequence[Job]) -> bytes:
        """Return a tar archive of the repository's bundle and the user's own data."""
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.add(jobs[0].bundle, "bundle")
            if (self.root / FOLDER).is_dir():
                archive.add(self.root / FOLDER, "own")
        return file.getvalue()

    def states(self) -> dict[str, str]:
        """Collect what has ended, and return the state of the rest."""
        running = {key: worker for worker, keys in self.client.processing().items() for key in keys}
        states = {}
        for task, future in list(self.futures.items()):
            if not future.done():
                states[task] = f"running {running[future.key]}" if future.key in running else "waiting"
                continue
            if future.status == "finished":
                self._collect(future.result())
            elif future.status == "error":
                Attempt(task, [], 0, "", status=1, last_line=str(future.exception())).write(self.attempts)
            del self.futures[task]
        if not self.futures and self.sweep in self.client.list_datasets():
            self.client.unpublish_dataset(self.sweep)
        return states

    def _collect(self, result: dict[str, Any]) -> None:
        """Write the attempt, and what lay beside it, where the launcher finds them."""
        for name, content in result["files"].items():
            (self.attempts / Path(name).name).write_bytes(content)
        if result["attempt"]:
            Attempt(**result["attempt"]).write(self.attempts)

    def cancel(self) -> None:
        self.client.cancel(list(self.futures.values()))
        self.client.run(end_tasks)


class ByValue:
    """A function that takes its code along where it is pickled, because other machines need not have Stiltwalk."""

    def __init__(self, function: Callable[..., Any]):
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return cloudpickle.loads, (cloudpickle.dumps(self.function),)
