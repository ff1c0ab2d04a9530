"""Run what is left of a sweep with an engine, and tell how far it is."""

import fcntl
import io
import itertools
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from configobj import ConfigObj
from dvc.repo import Repo

from stiltwalk.data.own.files import FOLDER
from stiltwalk.sweep.cost import Cost
from stiltwalk.sweep.engines.base import Engine
from stiltwalk.sweep.experiments import SWEEP_FILE, dvc, git, read_experiments
from stiltwalk.sweep.graph import Task
from stiltwalk.sweep.plan import Sweep
from stiltwalk.sweep.progress import Place, follow, report
from stiltwalk.sweep.records import (
    Job,
    SweepRecord,
    TaskRecord,
)
from stiltwalk.sweep.schedule import by_priority
from stiltwalk.sweep.trie import Order
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.locations import RESUME_FOLDER
from stiltwalk.utils.text import count
from stiltwalk.warm import warm_stages

COMMITTED_PATHS = ("src", "conf", "launch", "dvc.yaml", ".dvc/config")


@dataclass(frozen=True)
class Settings:
    """Where the tasks of a sweep run."""

    engine: str = "local"
    jobs: int = 1
    """Tasks at a time, on this machine."""
    gpus_per_task: int = 1
    share_gpus: bool = False
    options: str = ""
    """Of sbatch."""
    shared_options: str = ""
    """Of sbatch, for the shared stages; if empty, those of all tasks."""
    max_queued: int = 0
    """Jobs that Slurm may hold at a time; 0 for any number."""
    scheduler: str = ""
    """The address of dask's scheduler."""
    remote: str = ""
    """The DVC remote through which machines without a shared file system exchange outputs."""


def finished_experiments(sweep: Sweep) -> set[tuple[Order, int]]:
    """Return the experiments of the sweep that this commit already has.

    Raises InputError if one of the same name has other parameters.
    """
    head = git("rev-parse", "HEAD", root=sweep.root).strip()
    known = {one.name: one for one in read_experiments(sweep.root) if one.baseline == head}
    done = set()
    for seed, order in itertools.product(sweep.seeds, sweep.orders):
        if experiment := known.get(name := sweep.name(order, seed)):
            if experiment.params != sweep.params_of(order, seed):
                raise InputError(
                    f"there is an experiment '{name}' with other parameters; give the sweep a name of its own "
                    f"(--name) or remove the experiment: dvc exp remove {name}"
                )
            done.add((order, seed))
    return done


def run_sweep(sweep: Sweep, tasks: Sequence[Task], cost: Cost, settings: Settings) -> None:
    """Run the tasks that are left of a sweep. Under Slurm, submit them only.

    Ctrl-C ends the tasks of this machine, and leaves those of dask alone. Raises InputError if a task failed, or if a
    step was trained twice.
    """
    n_experiments = len(sweep.orders) * len(sweep.seeds)
    if not tasks:
        print(f"all {n_experiments} experiments had finished before")
        return
    place = Place.of(sweep)
    place.attempts.mkdir(parents=True, exist_ok=True)
    place.folder.chmod(0o700)  # a job may hold the credentials of a remote
    with only_launcher(place.folder.parent):
        refuse_other_engine(place, settings)
        engine = make_engine(place, settings)
        tasks = by_priority(tasks, cost.tasks)
        record = write_record(sweep, tasks, cost, settings, place)
        with ExitStack() as stack:
            if settings.engine == "local":
                os.environ.update(stack.enter_context(warm_stages()))
            n_submitted = engine.submit(tasks, make_jobs(sweep, tasks, settings, place))
            if settings.engine == "slurm":
                print_submitted(n_submitted, len(tasks), settings.max_queued)
                return
            try:
                follow(engine, record, place)
            except KeyboardInterrupt:
                if settings.engine == "dask":
                    sys.exit("detached; the tasks go on, and the same command attaches again")
                engine.cancel()
                sys.exit("stopped; the same command resumes the sweep")
        report(record, place, n_experiments - sum(bool(task.experiment) for task in tasks))


@contextmanager
def only_launcher(folder: Path) -> Iterator[None]:
    """Let one process at a time launch sweeps from a repository."""
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"another sweep runs in {folder.parents[2]}; wait for it, or stop it") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def refuse_other_engine(place: Place, settings: Settings) -> None:
    """Raise InputError if tasks of this sweep wait or run elsewhere: they would be trained twice."""
    if not (place.folder / SWEEP_FILE).is_file():
        return
    before = Settings(**place.record.engine_options)
    elsewhere = (before.engine, before.scheduler) != (settings.engine, settings.scheduler)
    if elsewhere and before.engine != "local" and make_engine(place, before).states():
        raise InputError(
            f"tasks of this sweep wait or run by --engine {before.engine}; python src/sweep.py stop ends them"
        )


def make_engine(place: Place, settings: Settings) -> Engine:
    """Return the engine of a sweep. Raises InputError if it cannot be used here."""
    name = f"stiltwalk-{place.folder.name}"
    if settings.engine == "slurm":
        from stiltwalk.sweep.engines.slurm import SlurmEngine

        options, shared = settings.options, settings.shared_options or settings.options
        return SlurmEngine(f"{name}/", place.folder, options, shared, settings.max_queued)
    if settings.engine == "dask":
        try:
            from stiltwalk.sweep.engines.dask import DaskEngine
        except ModuleNotFoundError:
            raise InputError("--engine dask needs dask: pip install distributed, here and on the workers") from None
        return DaskEngine(f"{name}:", place.root, place.attempts, settings.scheduler, settings.gpus_per_task)
    from stiltwalk.sweep.engines.local import LocalEngine

    return LocalEngine(settings.jobs, place.folder, settings.gpus_per_task, settings.share_gpus)


def write_record(sweep: Sweep, tasks: Sequence[Task], cost: Cost, settings: Settings, place: Place) -> SweepRecord:
    """Record the sweep, so that a report can say that it is incomplete, and `status` how far it is."""
    records = {task.name: TaskRecord(list(task.after), task.experiment, cost.tasks[task.name]) for task in tasks}
    names = {str(seed): [sweep.name(order, seed) for order in sweep.orders] for seed in sweep.seeds}
    commit = git("rev-parse", "HEAD", root=sweep.root).strip()
    record = SweepRecord(commit, settings.engine, asdict(settings), names, records)
    record.write(place.folder / SWEEP_FILE)
    return record


def make_jobs(sweep: Sweep, tasks: Sequence[Task], settings: Settings, place: Place) -> list[Job]:
    """Return what the workers need for these tasks."""
    commit = git("rev-parse", "HEAD", root=place.root).strip()
    bundle = place.folder / "code.bundle"
    git("bundle", "create", "--quiet", str(bundle), "HEAD", root=place.root)
    config = dvc_config(place.root, settings.remote)
    identity = {key: read_identity(place.root, key) for key in ("user.name", "user.email")}
    elsewhere = settings.engine == "dask"
    return [
        Job(
            task=task.name,
            order=list(task.parts[0].order),
            seed=task.parts[0].seed,
            experiment=task.experiment,
            commands=[make_command(sweep, task, number) for number in range(len(task.parts))],
            commit=commit,
            bundle=str(bundle),
            attempts=str(place.attempts),
            dvc_config=config,
            identity=identity,
            own_data=str(place.root / FOLDER) if (place.root / FOLDER).is_dir() and not elsewhere else "",
            repository="" if elsewhere else str(place.root),
            remote=settings.remote,
            scratch=str(place.folder.parent / "clones") if settings.engine == "local" else "",
            resume="" if settings.remote else str(place.root / RESUME_FOLDER),
            gpus=settings.gpus_per_task,
        )
        for task in tasks
    ]


def make_command(sweep: Sweep, task: Task, number: int) -> list[str]:
    """Return the arguments of `dvc exp run` for a part of a task."""
    part = task.parts[number]
    arguments = sweep.arguments(part.order, part.seed)
    if task.experiment:
        return ["-n", task.experiment, *arguments]
    return [*arguments, *(stage.dvc_name for stage in part.stages)]


def dvc_config(root: Path, remote: str) -> str:
    """Return .dvc/config.local of a clone: the cache of this repository, or a remote with its credentials.

    Raises InputError if there is no such remote.
    """
    config = ConfigObj(encoding="utf-8")
    if not remote:
        config["cache"] = {"dir": str((root / dvc("cache", "dir", root=root).strip()).resolve())}
    else:
        with Repo(str(root)) as repo:
            if remote not in repo.config["remote"]:
                raise InputError(f"--remote {remote}: there is no such DVC remote; dvc remote add {remote} URL")
            config[f'remote "{remote}"'] = {key: str(value) for key, value in repo.config["remote"][remote].items()}
        config["core"] = {"remote": remote}
    buffer = io.BytesIO()
    config.write(buffer)
    return buffer.getvalue().decode("utf-8")


def read_identity(root: Path, key: str) -> str:
    """Return Git's user.name or user.email, and a substitute where it has none."""
    try:
        return git("config", key, root=root).strip()
    except InputError:
        return "sweep@localhost"


def print_submitted(n_submitted: int, n_tasks: int, max_queued: int) -> None:
    """Say what was submitted to Slurm, and what is next."""
    print(f"{n_submitted} of {count(n_tasks, 'task')} submitted; python src/sweep.py status tells how far they are")
    if max_queued:
        print(f"at most {max_queued} are queued at a time; run the same command again to submit others")


def stop_sweep(place: Place) -> None:
    """End all tasks of a sweep."""
    settings = Settings(**place.record.engine_options)
    if settings.engine != "local":
        make_engine(place, settings).cancel()
        return
    lock = place.folder.parent / "lock"
    try:
        with only_launcher(lock.parent):
            print("no task runs")
    except InputError:
        os.kill(int(lock.read_text()), signal.SIGTERM)


def refuse_uncommitted_changes(root: Path) -> None:
    """Raise InputError if code or configuration has uncommitted changes: experiments belong to a commit."""
    changed = git("status", "--porcelain", "--", *COMMITTED_PATHS, root=root).splitlines()
    if changed:
        n_others = len(changed) - 1
        others = f" (nor {'is' if n_others == 1 else 'are'} {count(n_others, 'other file')})" if n_others else ""
        raise InputError(f"{changed[0][3:]} is not committed{others}; a sweep runs what Git has: commit first")
