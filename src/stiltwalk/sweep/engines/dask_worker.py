"""What a dask worker does for a sweep. dask sends this module to its workers, which need not have Stiltwalk."""

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from getpass import getuser
from pathlib import Path
from typing import Any

from distributed import Worker, WorkerPlugin, get_worker

RUNNING = "stiltwalk_tasks"  # the attribute of a dask worker that holds the processes of its tasks
SECONDS_TO_SAVE = 30


def scratch_folder() -> Path:
    """Return the folder of this machine for code and clones.

    Raises PermissionError if it is another user's, who could have put code of theirs there.
    """
    default = Path(os.environ.get("SLURM_TMPDIR") or tempfile.gettempdir()) / f"stiltwalk-{getuser()}"
    folder = Path(os.environ.get("STILTWALK_SCRATCH") or default)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user; set STILTWALK_SCRATCH to a folder of your own")
    return folder


def run_task(code: dict[str, bytes], version: str, job: dict[str, Any], *parents: dict[str, Any]) -> dict[str, Any]:
    """Run a task of a sweep in a process of its own; returns its attempt, and the files that it wrote beside it.

    code: the repository's bundle and the user's own data, by path. version: of these. parents: what this returned for
    the tasks that this one needs; if one of them failed, nothing is run.
    """
    if any(parent["attempt"] is None or parent["attempt"]["status"] for parent in parents):
        return {"attempt": None, "files": {}}
    scratch = scratch_folder()
    place = scratch / f"code-{version}"
    with (scratch / f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            partial = Path(tempfile.mkdtemp(dir=scratch))
            for name, content in code.items():
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                (partial / name).write_bytes(content)
            subprocess.run(["git", "init", "--quiet", "code"], cwd=partial, check=True)
            subprocess.run(["git", "pull", "--quiet", "../bundle", "HEAD"], cwd=partial / "code", check=True)
            partial.rename(place)
    own = str(place / "own") if (place / "own").is_dir() else ""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        path = Path(folder) / "job"
        path.write_text(
            json.dumps(
                job | {"bundle": str(place / "bundle"), "own_data": own, "attempts": folder, "scratch": str(scratch)}
            )
        )
        command = [sys.executable, "-m", "stiltwalk.sweep.worker", str(path)]
        with (Path(folder) / "log").open("w") as log:
            process = subprocess.Popen(
                command,
                env=os.environ | {"PYTHONPATH": str(place / "code/src")},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            running = vars(get_worker()).setdefault(RUNNING, [])
            running.append((job["attempts"], process))
            process.wait()
            running.remove((job["attempts"], process))
        attempts = [json.loads(path.read_text()) for path in Path(folder).glob("*.json")]
        files = {path.name: path.read_bytes() for path in Path(folder).glob("*.*") if path.suffix != ".json"}
        last = (Path(folder) / "log").read_text(errors="replace").strip().splitlines()[-1:]
    failed = {name: job[name] for name in ("task", "order", "seed")}
    failed |= {"status": process.returncode or 1, "last_line": "".join(last)}
    return {"attempt": attempts[0] if attempts else failed, "files": files}


class EndTasks(WorkerPlugin):
    """Ends the tasks of a dask worker before the worker leaves and the scheduler gives them to another one."""

    name, idempotent = "stiltwalk", True  # else a second launcher would replace it, and so end what runs

    def teardown(self, worker: Worker) -> None:
        end_tasks(worker)


def end_tasks(dask_worker: Worker, sweep: str = "") -> None:
    """End the tasks of a sweep, or all, that run on this worker; trainings save their state.

    sweep: the folder of its attempts on the launching machine.
    """
    running = [process for of, process in getattr(dask_worker, RUNNING, []) if sweep in ("", of)]
    for process in running:
        process.terminate()
    for process in running:
        try:
            process.wait(SECONDS_TO_SAVE)
        except subprocess.TimeoutExpired:
            process.kill()
