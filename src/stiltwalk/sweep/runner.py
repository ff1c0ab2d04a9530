"""Running a sweep as ordinary DVC experiments, each distinct step trained once, however often the sweep is stopped.

Experiments run in clones of the repository (.dvc/tmp/sweep/<number>) that share its cache, so that the working tree is
left alone and several can run at the same time; a finished one is fetched as a reference of DVC's. What a killed sweep
had finished stands there, and the stages that it had finished within an experiment stand in the run cache.
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

from stiltwalk.config.orders import keys
from stiltwalk.data.own_files import FOLDER
from stiltwalk.sweep.cost import Cost, Stage, in_turn, sharing
from stiltwalk.sweep.experiments import PLACE, WANTED, git, read_experiments
from stiltwalk.sweep.plan import Group, Sweep
from stiltwalk.sweep.trie import Order
from stiltwalk.utils.durations import FILE, VARIABLE
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.stage import STATES, STATES_VARIABLE, write_json
from stiltwalk.utils.warm import warm

SOURCE = ("src", "conf", "launch", "dvc.yaml", ".dvc/config")
RAN = re.compile(r"Running stage '([^']+)'")
FAILED = re.compile(r"failed to reproduce '([^']+)'")
TAKEN = re.compile(r"Stage '([^']+)' (?:didn't change, skipping|is cached - skipping run, checking out outputs)")


@dataclass
class Outcome:
    """What became of a sweep."""

    done: int = 0
    """Experiments that had been finished before."""
    finished: int = 0
    failed: list[str] = field(default_factory=list)
    """Name and last line of each experiment that failed."""
    trained: Counter[tuple[Order, int]] = field(default_factory=Counter)
    """How often each step (prefix of an order, seed) was trained now."""
    reused: int = 0
    """Steps that were taken over from another order or an earlier run."""

    @property
    def steps(self) -> str:
        return f"trained {self.trained.total()}, reused {self.reused}"


def done_before(sweep: Sweep) -> set[tuple[Order, int]]:
    """The experiments of the sweep that this commit has already; InputError where one has other parameters."""
    head = git("rev-parse", "HEAD", root=sweep.root).strip()
    known = {found.name: found for found in read_experiments(sweep.root) if found.baseline == head}
    done = set()
    for seed in sweep.seeds:
        for order in sweep.orders:
            if found := known.get(name := sweep.name(order, seed)):
                if found.params != sweep.params_of(order, seed):
                    raise InputError(
                        f"there is an experiment '{name}' with other parameters; give the sweep a name of its own "
                        f"(--name) or remove it: dvc exp remove {name}"
                    )
                done.add((order, seed))
    return done


@contextmanager
def alone(root: Path) -> Iterator[Path]:
    """The sweep's folder, for one sweep at a time; what a killed one left running or lying there is removed."""
    place = (root / PLACE).resolve()
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"another sweep runs in {root.resolve()}; wait for it, or stop it") from None
        end_processes_below(place)
        for folder in place.iterdir():
            if folder.is_dir() and folder.name.isdecimal():
                shutil.rmtree(folder)
        try:
            yield place
        finally:
            end_processes_below(place)


def end_processes_below(place: Path) -> None:
    """Kill every process of ours whose working directory is in the folder."""
    ended = []
    for process in psutil.process_iter():
        try:
            if place in Path(process.cwd()).parents:
                process.kill()
                ended.append(process)
        except (psutil.Error, OSError):
            continue
    psutil.wait_procs(ended, timeout=10)


class Runner:
    """Workers that take groups of experiments from a queue."""

    def __init__(self, sweep: Sweep, cost: Cost, jobs: int, place: Path):
        self.sweep, self.cost, self.jobs, self.place = sweep, cost, jobs, place
        self.outcome = Outcome()
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.clones: queue.SimpleQueue[Path] = queue.SimpleQueue()
        self.running: set[subprocess.Popen[str]] = set()
        self.variables: dict[str, str] = {}

    def run(self) -> Outcome:
        """All that is not done yet; first the encoder and data that orders share, so that they are made once."""
        before = done_before(self.sweep)
        self.outcome.done = len(before)
        groups = [(seed, [one for one in orders if (one, seed) not in before]) for seed, orders in self.sweep.groups]
        groups = in_turn([group for group in groups if group[1]], self.cost)
        if not groups:
            return self.outcome
        names = [self.sweep.name(order, seed) for seed, orders in self.sweep.groups for order in orders]
        commit = git("rev-parse", "HEAD", root=self.sweep.root).strip()
        write_json({"commit": commit, "names": names}, self.place / WANTED)
        total, seconds = sum(len(orders) for _, orders in groups), self.cost.total()
        for number in range(self.jobs):
            self.clones.put(self._clone(number))
        self.length = max(1, round(seconds))
        form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
        self.bar = tqdm(total=self.length, desc=f"0 of {total} experiments", bar_format=form, mininterval=1)
        self.total = total
        with self.bar, warm() as self.variables, ThreadPoolExecutor(self.jobs) as pool:
            try:
                self._share(list(sharing(self.sweep, before)), pool)
                self._advance(self.cost.shared)
                for future in [pool.submit(self._group, group) for group in groups]:
                    future.result()
            except BaseException:
                self.stop.set()
                self._end()
                raise
        return self.outcome

    def _clone(self, number: int) -> Path:
        folder = self.place / str(number)
        root = self.sweep.root.resolve()
        git("clone", "--quiet", "--no-hardlinks", str(root), str(folder))
        # It may name versions of the data that nobody has here, over which DVC stumbles when it takes over newer ones.
        (folder / "dvc.lock").unlink(missing_ok=True)
        for key in ("user.name", "user.email"):
            value = subprocess.run(["git", "config", key], cwd=root, capture_output=True, text=True).stdout.strip()
            git("config", key, value or "sweep@localhost", root=folder)
        cache = Path(_dvc(root, "cache", "dir").strip())
        _dvc(folder, "cache", "dir", "--local", str((root / cache).resolve()))
        if (root / FOLDER).is_dir():
            shutil.copytree(root / FOLDER, folder / FOLDER, symlinks=True)
        return folder

    def _group(self, group: Group) -> None:
        seed, orders = group
        clone = self.clones.get()
        try:
            for order in orders:
                if not self.stop.is_set():
                    self._experiment(order, seed, clone)
        finally:
            self.clones.put(clone)

    def _share(self, shared: list[tuple[Order, list[Stage]]], pool: ThreadPoolExecutor) -> None:
        """Make encoder and data that orders need: at the same time; then, from both, the data as numbers of tokens.

        Where that fails, each experiment will say so of itself.
        """
        apart = [
            (order, [stage for stage in wanted if stage.script in scripts])
            for scripts in (("encoder.py",), ("data.py", "xtreme.py"))
            for order, wanted in shared
        ]
        names = (f"{self.sweep.prefix}shared-{number}" for number in itertools.count())
        for part in (apart, shared) if self.jobs > 1 else (shared,):
            futures = [pool.submit(self._make, *made, next(names)) for made in part if made[1]]
            for future in futures:
                future.result()

    def _make(self, order: Order, wanted: list[Stage], name: str) -> None:
        clone, stages = self.clones.get(), [stage.of_dvc for stage in wanted]
        try:
            if not self.stop.is_set():
                self._run([*self.sweep.arguments(order, self.sweep.seeds[0]), *stages], clone, self._log(name))
        finally:
            self.clones.put(clone)

    def _log(self, name: str) -> Path:
        return self.place / f"{name.replace('/', '_')}.log"

    def _run(self, words: list[str], clone: Path, log: Path) -> tuple[int, set[str], set[str], str]:
        """`dvc exp run` there: its exit status, the stages that ran and that were taken over, the last that it said."""
        ran, taken, last = set[str](), set[str](), ""
        command = ["dvc", "exp", "run", *words]
        with log.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                command,
                cwd=clone,
                env=self._environment(clone),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C comes to the sweep alone, which ends its experiments itself
            )
            self.running.add(process)
            try:
                assert process.stdout
                for line in process.stdout:
                    file.write(line)
                    file.flush()
                    ran.update(RAN.findall(line))
                    ran.difference_update(FAILED.findall(line))
                    taken.update(TAKEN.findall(line))
                    last = line.strip() or last
                code = process.wait()
            finally:
                if process.poll() is not None:
                    self.running.discard(process)
        return code, ran, taken, last

    def _experiment(self, order: Order, seed: int, clone: Path) -> None:
        name = self.sweep.name(order, seed)
        log = self._log(name)
        code, ran, taken, last = self._run(["-n", name, *self.sweep.arguments(order, seed)], clone, log)
        if self.stop.is_set():
            return
        with self.lock:
            if code == 0:
                self._fetch(name, clone)
                self.outcome.finished += 1
            else:
                self.outcome.failed.append(f"{name}: {last} (all of it: {log.relative_to(self.sweep.root.resolve())})")
                tqdm.write(f"failed: {self.outcome.failed[-1]}", file=sys.stderr)
            for count, key in enumerate(keys(order), start=1):
                if f"intermediate@{key}" in ran:
                    self.outcome.trained[order[:count], seed] += 1
                elif f"intermediate@{key}" in taken:
                    self.outcome.reused += 1
            ended = self.outcome.finished + len(self.outcome.failed)
            self._advance(self.cost.of[order, seed] if ended < self.total else self.length)
            self.bar.set_description_str(f"{ended} of {self.total} experiments", refresh=False)
            failed = f", failed {len(self.outcome.failed)}" if self.outcome.failed else ""
            self.bar.set_postfix_str(f"{self.outcome.steps}{failed}")

    def _advance(self, seconds: float) -> None:
        """The bar, never beyond its end, where tqdm would show nothing."""
        self.bar.update(min(round(seconds), self.length - self.bar.n))

    def _environment(self, clone: Path) -> dict[str, str]:
        """An equal share of the GPUs and of the cores."""
        told = dict(os.environ) | self.variables
        told |= {"TQDM_DISABLE": "1", VARIABLE: str((self.sweep.root / FILE).resolve())}
        told[STATES_VARIABLE] = str((self.sweep.root / STATES).resolve())
        told["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{told.get('PATH', '')}"
        devices = gpus(told) if self.jobs > 1 else []
        if devices:
            share, number = max(1, len(devices) // self.jobs), int(clone.name)
            told["CUDA_VISIBLE_DEVICES"] = ",".join(devices[number * share % len(devices) :][:share])
        if self.jobs > 1:
            told.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // self.jobs)))
        return told

    def _fetch(self, name: str, clone: Path) -> None:
        """The experiment's reference, into the repository."""
        refs = git("for-each-ref", "refs/exps", "--format=%(refname)", root=clone).split()
        ref = next(ref for ref in refs if ref.startswith("refs/exps/") and ref.split("/", 4)[-1] == name)
        git("fetch", "--quiet", str(clone), f"+{ref}:{ref}", root=self.sweep.root)

    def _end(self) -> None:
        """End the experiments that run: they are told, then killed."""
        for process in list(self.running):
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + 5
        while self.running and time.monotonic() < deadline:
            time.sleep(0.1)
        for process in list(self.running):
            _signal(process, signal.SIGKILL)


def gpus(environment: Mapping[str, str]) -> list[str]:
    """Those that CUDA_VISIBLE_DEVICES names; where it is not set, all that nvidia-smi lists."""
    if (named := environment.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in named.split(",") if name]
    if (program := shutil.which("nvidia-smi", path=environment.get("PATH"))) is None:
        return []
    listed = subprocess.run([program, "--list-gpus"], capture_output=True, text=True).stdout.splitlines()
    return [str(number) for number in range(sum(line.startswith("GPU ") for line in listed))]


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _dvc(root: Path, *arguments: str) -> str:
    dvc = Path(sys.executable).parent / "dvc"
    return subprocess.run([dvc, *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


def refuse_uncommitted(root: Path) -> None:
    """Experiments are of a commit: InputError where the code or the configuration has changes that are in none."""
    changed = git("status", "--porcelain", "--", *SOURCE, root=root).splitlines()
    if changed:
        others = f" (nor are {len(changed) - 1} others)" if changed[1:] else ""
        raise InputError(f"{changed[0][3:]} is not committed{others}; a sweep runs what Git has: commit first")
