"""Run a sweep as ordinary DVC experiments. Each distinct step is trained once, however often the sweep is stopped.

Experiments run in clones of the repository (.dvc/tmp/sweep/<number>) that share its cache: the working tree is left
alone, and several experiments can run at the same time. A finished experiment is fetched as a DVC reference, so that a
killed sweep keeps it; the run cache keeps the stages that an unfinished one had completed.
"""

import fcntl
import itertools
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tqdm import tqdm

from stiltwalk.config.orders import step_keys
from stiltwalk.data.own.files import FOLDER
from stiltwalk.sweep.cost import Cost, schedule
from stiltwalk.sweep.experiments import LATEST_SWEEP, SWEEP_FOLDER, dvc, git, read_experiments
from stiltwalk.sweep.plan import Group, Sweep
from stiltwalk.sweep.stages import Stage, stages_to_share
from stiltwalk.sweep.trie import Order
from stiltwalk.utils.durations import FILE, VARIABLE
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.files import write_json
from stiltwalk.utils.locations import RESUME_FOLDER, RESUME_VARIABLE
from stiltwalk.utils.text import count
from stiltwalk.warm import warm_stages

COMMITTED_PATHS = ("src", "conf", "launch", "dvc.yaml", ".dvc/config")
RAN = re.compile(r"Running stage '([^']+)'")
FAILED = re.compile(r"failed to reproduce '([^']+)'")
REUSED = re.compile(r"Stage '([^']+)' (?:didn't change, skipping|is cached - skipping run, checking out outputs)")
BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


@dataclass
class Outcome:
    """What became of a sweep."""

    finished_before: int = 0
    """Experiments that had finished before."""
    finished_now: int = 0
    failed: list[str] = field(default_factory=list)
    """Name and last line of each failed experiment."""
    trained: Counter[tuple[Order, int]] = field(default_factory=Counter)
    """How often each step (prefix of an order, seed) was trained now."""
    reused: int = 0
    """Steps that were taken from another order or an earlier run."""

    def describe_steps(self) -> str:
        """Return how many steps were trained and how many were reused."""
        return f"trained {self.trained.total()}, reused {self.reused}"


@dataclass(frozen=True)
class DvcRun:
    """What one `dvc exp run` did."""

    status: int
    ran: set[str]
    """Stages that ran without failing."""
    reused: set[str]
    """Stages whose outputs were already there or in the run cache."""
    last_line: str


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


@contextmanager
def sweep_folder(root: Path) -> Iterator[Path]:
    """Yield the folder of the sweep, for one sweep at a time, without what a killed sweep left in it."""
    folder = (root / SWEEP_FOLDER).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"another sweep runs in {root.resolve()}; wait for it, or stop it") from None
        kill_processes_below(folder)
        for clone in folder.iterdir():
            if clone.is_dir() and clone.name.isdecimal():
                shutil.rmtree(clone)
        try:
            yield folder
        finally:
            kill_processes_below(folder)


def kill_processes_below(folder: Path) -> None:
    """Kill every process of ours whose working directory is in the folder."""
    killed = []
    for process in psutil.process_iter():
        try:
            if folder in Path(process.cwd()).parents:
                process.kill()
                killed.append(process)
        except (psutil.Error, OSError):
            continue
    psutil.wait_procs(killed, timeout=10)


class Runner:
    """Workers that take groups of experiments from a queue."""

    def __init__(self, sweep: Sweep, cost: Cost, jobs: int, folder: Path):
        self.sweep, self.cost, self.jobs, self.folder = sweep, cost, jobs, folder
        self.outcome = Outcome()
        self.total = 0
        self.seconds = max(1, round(cost.total))
        self.bar = tqdm(disable=True)
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.clones: queue.SimpleQueue[Path] = queue.SimpleQueue()
        self.running: set[subprocess.Popen[str]] = set()
        self.variables: dict[str, str] = {}

    def run(self) -> Outcome:
        """Run everything that is not done yet: first the encoder and data that orders share, then the experiments."""
        before = finished_experiments(self.sweep)
        self.outcome.finished_before = len(before)
        groups = [(seed, [one for one in orders if (one, seed) not in before]) for seed, orders in self.sweep.groups]
        groups = schedule([group for group in groups if group[1]], self.cost)
        if not groups:
            return self.outcome
        self.total = sum(len(orders) for _, orders in groups)
        self._record_sweep()
        for number in range(self.jobs):
            self.clones.put(self._clone(number))
        self.bar = tqdm(total=self.seconds, desc=f"0 of {self.total} experiments", bar_format=BAR, mininterval=1)
        with self.bar, warm_stages() as self.variables, ThreadPoolExecutor(self.jobs) as pool:
            try:
                self._run_shared(list(stages_to_share(self.sweep, before)), pool)
                self._advance(self.cost.shared)
                for future in [pool.submit(self._run_group, group) for group in groups]:
                    future.result()
            except BaseException:
                self.stop.set()
                self._end_experiments()
                raise
        return self.outcome

    def _record_sweep(self) -> None:
        """Record the sweep's experiments, so that a report can say that it is incomplete."""
        sweep = self.sweep
        names = {seed: [sweep.name(order, seed) for order in sweep.orders] for seed in sweep.seeds}
        commit = git("rev-parse", "HEAD", root=sweep.root).strip()
        write_json({"commit": commit, "seeds": names}, self.folder / LATEST_SWEEP)

    def _clone(self, number: int) -> Path:
        clone = self.folder / str(number)
        root = self.sweep.root.resolve()
        git("clone", "--quiet", "--no-hardlinks", str(root), str(clone))
        # dvc.lock may name data that the shared cache lacks; DVC then fails even if newer data could be reused.
        (clone / "dvc.lock").unlink(missing_ok=True)
        for key in ("user.name", "user.email"):
            value = subprocess.run(["git", "config", key], cwd=root, capture_output=True, text=True).stdout.strip()
            git("config", key, value or "sweep@localhost", root=clone)
        cache = (root / dvc("cache", "dir", root=root).strip()).resolve()
        dvc("cache", "dir", "--local", os.path.relpath(cache, clone), root=clone)  # DVC can only write ASCII
        if (root / FOLDER).is_dir():
            shutil.copytree(root / FOLDER, clone / FOLDER, symlinks=True)
        return clone

    def _run_shared(self, shared: list[tuple[Order, list[Stage]]], pool: ThreadPoolExecutor) -> None:
        """Run the encoder and the data stages at the same time, then the tokenising stages, which need both.

        Where one fails, each experiment that needs it will report the failure.
        """
        independent = [
            (order, [stage for stage in stages if stage.group in groups])
            for groups in (("encoder",), ("data", "xtreme"))
            for order, stages in shared
        ]
        logs = (f"{self.sweep.prefix}shared-{number}" for number in itertools.count())
        for part in (independent, shared) if self.jobs > 1 else (shared,):
            futures = [pool.submit(self._run_stages, order, stages, next(logs)) for order, stages in part if stages]
            for future in futures:
                future.result()

    def _run_stages(self, order: Order, stages: list[Stage], log: str) -> None:
        clone = self.clones.get()
        try:
            if not self.stop.is_set():
                names = [stage.dvc_name for stage in stages]
                self._dvc_exp_run([*self.sweep.arguments(order, self.sweep.seeds[0]), *names], clone, self._log(log))
        finally:
            self.clones.put(clone)

    def _run_group(self, group: Group) -> None:
        seed, orders = group
        clone = self.clones.get()
        try:
            for order in orders:
                if not self.stop.is_set():
                    self._run_experiment(order, seed, clone)
        finally:
            self.clones.put(clone)

    def _run_experiment(self, order: Order, seed: int, clone: Path) -> None:
        name = self.sweep.name(order, seed)
        log = self._log(name)
        run = self._dvc_exp_run(["-n", name, *self.sweep.arguments(order, seed)], clone, log)
        if self.stop.is_set():
            return
        with self.lock:
            if run.status == 0:
                self._fetch(name, clone)
                self.outcome.finished_now += 1
            else:
                path = log.relative_to(self.sweep.root.resolve())
                self.outcome.failed.append(f"{name}: {run.last_line} (whole log: {path})")
                tqdm.write(f"failed: {self.outcome.failed[-1]}", file=sys.stderr)
            for number, key in enumerate(step_keys(order), start=1):
                if f"intermediate@{key}" in run.ran:
                    self.outcome.trained[order[:number], seed] += 1
                elif f"intermediate@{key}" in run.reused:
                    self.outcome.reused += 1
            self._show_progress(order, seed)

    def _dvc_exp_run(self, arguments: list[str], clone: Path, log: Path) -> DvcRun:
        ran, reused, last_line = set[str](), set[str](), ""
        with log.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                ["dvc", "exp", "run", *arguments],
                cwd=clone,
                env=self._environment(clone),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C goes to the sweep only, which ends its experiments itself
            )
            self.running.add(process)
            try:
                assert process.stdout
                for line in process.stdout:
                    file.write(line)
                    file.flush()
                    ran.update(RAN.findall(line))
                    ran.difference_update(FAILED.findall(line))
                    reused.update(REUSED.findall(line))
                    last_line = line.strip() or last_line
                status = process.wait()
            finally:
                if process.poll() is not None:
                    self.running.discard(process)
        return DvcRun(status, ran, reused, last_line)

    def _environment(self, clone: Path) -> dict[str, str]:
        """Return the environment of an experiment, with an equal share of the GPUs and of the cores."""
        environment = dict(os.environ) | self.variables | {"TQDM_DISABLE": "1"}
        environment[VARIABLE] = str((self.sweep.root / FILE).resolve())
        environment[RESUME_VARIABLE] = str((self.sweep.root / RESUME_FOLDER).resolve())
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
        devices = visible_gpus(environment) if self.jobs > 1 else []
        if devices:
            share, number = max(1, len(devices) // self.jobs), int(clone.name)
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(devices[number * share % len(devices) :][:share])
        if self.jobs > 1:
            environment.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // self.jobs)))
        return environment

    def _log(self, name: str) -> Path:
        return self.folder / f"{name.replace('/', '_')}.log"

    def _fetch(self, name: str, clone: Path) -> None:
        """Fetch the reference of a finished experiment into the repository."""
        references = git("for-each-ref", "refs/exps", "--format=%(refname)", root=clone).split()
        reference = next(one for one in references if one.startswith("refs/exps/") and one.split("/", 4)[-1] == name)
        git("fetch", "--quiet", str(clone), f"+{reference}:{reference}", root=self.sweep.root)

    def _show_progress(self, order: Order, seed: int) -> None:
        ended = self.outcome.finished_now + len(self.outcome.failed)
        self._advance(self.cost.experiments[order, seed] if ended < self.total else self.seconds)
        self.bar.set_description_str(f"{ended} of {self.total} experiments", refresh=False)
        failed = f", failed {len(self.outcome.failed)}" if self.outcome.failed else ""
        self.bar.set_postfix_str(f"{self.outcome.describe_steps()}{failed}")

    def _advance(self, seconds: float) -> None:
        """Move the bar, never beyond its end: tqdm would then hide it."""
        self.bar.update(min(round(seconds), self.seconds - self.bar.n))

    def _end_experiments(self) -> None:
        """End the running experiments: SIGTERM first, so that trainings save their state, then SIGKILL."""
        for process in list(self.running):
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + 5
        while self.running and time.monotonic() < deadline:
            time.sleep(0.1)
        for process in list(self.running):
            _signal(process, signal.SIGKILL)


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES names; if it is not set, all that nvidia-smi lists."""
    if (names := environment.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in names.split(",") if name]
    if (program := shutil.which("nvidia-smi", path=environment.get("PATH"))) is None:
        return []
    lines = subprocess.run([program, "--list-gpus"], capture_output=True, text=True).stdout.splitlines()
    return [str(number) for number in range(sum(line.startswith("GPU ") for line in lines))]


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def refuse_uncommitted_changes(root: Path) -> None:
    """Raise InputError if code or configuration has uncommitted changes: experiments belong to a commit."""
    changed = git("status", "--porcelain", "--", *COMMITTED_PATHS, root=root).splitlines()
    if changed:
        n_others = len(changed) - 1
        others = f" (nor {'is' if n_others == 1 else 'are'} {count(n_others, 'other file')})" if n_others else ""
        raise InputError(f"{changed[0][3:]} is not committed{others}; a sweep runs what Git has: commit first")
