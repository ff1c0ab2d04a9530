"""Run what is left of a sweep with an engine, and tell how far it is."""

import fcntl
import hashlib
import io
import itertools
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import compress
from pathlib import Path

import psutil
from configobj import ConfigObj
from dvc.repo import Repo

from stiltwalk.data.own.files import FOLDER
from stiltwalk.sweep.cost import Cost
from stiltwalk.sweep.engines.base import Engine
from stiltwalk.sweep.experiments import SWEEP_FILE, dvc, git, read_experiments
from stiltwalk.sweep.graph import Task
from stiltwalk.sweep.plan import Sweep
from stiltwalk.sweep.progress import Place, follow, report
from stiltwalk.sweep.records import Job, SweepRecord, TaskRecord, read_attempts
from stiltwalk.sweep.schedule import by_priority
from stiltwalk.sweep.trie import Order
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.files import atomic_dir
from stiltwalk.utils.locations import RESUME_FOLDER
from stiltwalk.utils.text import count
from stiltwalk.warm import warm_stages

LOCK = "lock"  # in the folder of all sweeps: the process that launches one, and which
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
    with only_launcher(place):
        refuse_other_sweeps(place, settings, experiment_names(sweep))
        engine = make_engine(place, settings)
        tasks = by_priority(tasks, cost.tasks)
        jobs = make_jobs(sweep, tasks, settings, place)
        left = [not is_finished(job, place, settings) for job in jobs]
        tasks, jobs = [*compress(tasks, left)], [*compress(jobs, left)]
        record = write_record(sweep, tasks, cost, settings, place)
        with ExitStack() as stack:
            if settings.engine == "local":
                os.environ.update(stack.enter_context(warm_stages()))
            n_submitted = engine.submit(tasks, jobs)
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
def only_launcher(place: Place) -> Iterator[None]:
    """Let one process at a time launch sweeps from a repository."""
    with (place.folder.parent / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"another sweep runs in {place.root}; wait for it, or stop it") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()} {place.folder.name}")
        lock.flush()
        try:
            yield
        finally:
            lock.truncate(0)


def find_launcher(place: Place) -> int | None:
    """Return the process that launches or follows this sweep; None if there is none."""
    lock = place.folder.parent / LOCK
    pid, _, name = (lock.read_text() if lock.is_file() else "").partition(" ")
    return int(pid) if name == place.folder.name and psutil.pid_exists(int(pid)) else None


def refuse_other_sweeps(place: Place, settings: Settings, names: dict[str, list[str]]) -> None:
    """Raise InputError if tasks of another sweep wait or run elsewhere: they might train the same steps.

    names: the experiments of this sweep, by seed. A sweep of which an engine knows nothing any more is no obstacle.
    """
    for file in place.folder.parent.glob(f"*/{SWEEP_FILE}"):
        other = Place(file.parent, place.root)
        record = other.record
        before = Settings(**record.engine_options)
        is_same = other.folder == place.folder and record.seeds == names
        if before.engine == "local" or (
            is_same and (before.engine, before.scheduler) == (settings.engine, settings.scheduler)
        ):
            continue
        try:
            live = make_engine(other, before).states()
        except InputError as error:
            print(f"warning: the sweep {other.folder.name} is taken for ended: {error}", file=sys.stderr)
            continue
        if live:
            raise InputError(
                f"tasks of the sweep {other.folder.name} wait or run by --engine {before.engine}; wait for them, or "
                "stop them with python src/sweep.py stop"
            )


def check_engine(sweep: Sweep, settings: Settings) -> None:
    """Raise InputError if the engine or the remote cannot be used, before anything takes time."""
    if settings.engine != "local":
        make_engine(Place.of(sweep), settings).states()
    if settings.remote:
        dvc_config(sweep.root, settings.remote)


def make_engine(place: Place, settings: Settings) -> Engine:
    """Return the engine of a sweep. Raises InputError if it cannot be used here."""
    name = f"stiltwalk-{place.folder.name}"
    if settings.engine == "slurm":
        from stiltwalk.sweep.engines.slurm import SlurmEngine

        return SlurmEngine(f"{name}/", place.folder, settings.options, settings.shared_options, settings.max_queued)
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
    commit = git("rev-parse", "HEAD", root=sweep.root).strip()
    record = SweepRecord(commit, settings.engine, asdict(settings), experiment_names(sweep), records)
    record.write(place.folder / SWEEP_FILE)
    return record


def experiment_names(sweep: Sweep) -> dict[str, list[str]]:
    """Return the names of a sweep's experiments, by seed in the sequence in which they run."""
    return {str(seed): [sweep.name(order, seed) for order in sweep.orders] for seed in sweep.seeds}


def is_finished(job: Job, place: Place, settings: Settings) -> bool:
    """Return whether a task without an experiment ran to its end, and the cache still has what it made."""
    attempts = read_attempts(place.attempts).get(job.task, []) if not job.experiment else []
    whole = [attempt for attempt in attempts if attempt.status == 0 and attempt.commands == job.commands]
    if not whole or settings.remote:  # a remote is not searched
        return bool(whole)
    cache = place.root / dvc("cache", "dir", root=place.root).strip() / "files/md5"
    return all((cache / md5[:2] / md5[2:]).exists() for md5 in whole[-1].outputs)


def make_jobs(sweep: Sweep, tasks: Sequence[Task], settings: Settings, place: Place) -> list[Job]:
    """Return what the workers need for these tasks."""
    commit = git("rev-parse", "HEAD", root=place.root).strip()
    if git("rev-parse", "--is-shallow-repository", root=place.root).strip() == "true":
        raise InputError("this clone is shallow, so that no other can be made of it; run git fetch --unshallow")
    bundle, code = place.folder / "code.bundle", place.folder / "code"
    git("bundle", "create", "--quiet", str(bundle), "HEAD", root=place.root)
    if not code.is_dir():
        with atomic_dir(code) as partial:
            git("init", "--quiet", root=partial)
            git("pull", "--quiet", str(bundle), "HEAD", root=partial)
    config = dvc_config(place.root, settings.remote)
    identity = {key: read_identity(place.root, key) for key in ("user.name", "user.email")}
    elsewhere = settings.engine == "dask"
    own = place.root / FOLDER
    files = sorted(path for path in own.rglob("*") if path.is_file())
    own_version = str([(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files])
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
            own_data=str(own) if own.is_dir() and not elsewhere else "",
            repository="" if elsewhere else str(place.root),
            remote=settings.remote,
            scratch=str(place.folder.parent / "clones") if settings.engine == "local" else "",
            resume="" if settings.remote else str(place.root / RESUME_FOLDER),
            gpus=settings.gpus_per_task,
            requeue=settings.engine == "slurm",
            own_version=hashlib.sha256(own_version.encode()).hexdigest(),
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
    elif pid := find_launcher(place):
        os.kill(pid, signal.SIGTERM)
    else:
        print(f"no task of the sweep {place.folder.name} runs")


def refuse_uncommitted_changes(root: Path) -> None:
    """Raise InputError if code or configuration has uncommitted changes: experiments belong to a commit."""
    changed = git("status", "--porcelain", "--", *COMMITTED_PATHS, root=root).splitlines()
    if changed:
        n_others = len(changed) - 1
        others = f" (nor {'is' if n_others == 1 else 'are'} {count(n_others, 'other file')})" if n_others else ""
        raise InputError(f"{changed[0][3:]} is not committed{others}; a sweep runs what Git has: commit first")
