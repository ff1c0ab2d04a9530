"""The experiments that Git holds: the parameters and results of each, read from its commit."""

import functools
import io
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stiltwalk.sweep.trie import Order
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.params import read_yaml

WORKSPACE = "workspace"  # the name of the run in the working tree
# What makes a score: the code of the stages and their libraries. The rest of src/ plans, compares and draws.
SCRIPTS = (
    *("world", "encoder", "data", "train_step", "retention", "trajectory"),
    *("xtreme", "target", "retrieval", "score"),
)
PACKAGES = ("config/orders.py", "data", "miniworld", "models", "perf", "scoring", "tasks", "training", "utils")
CODE = (
    *("dvc.yaml", "requirements.lock"),
    *(f"src/{name}.py" for name in SCRIPTS),
    *(f"src/stiltwalk/{name}" for name in PACKAGES),
)
FOREACH = {  # the stages of dvc.yaml that iterate over a block of `plan`
    "data": "mixtures",
    "intermediate": "steps",
    "retention": "steps",
    "trajectory": "trajectory",
    "xtreme": "targets",
    "target": "tunings",
    "target_pair": "tuning_pairs",
    "retrieval": "retrievals",
}
SCORED = ("data/labels/", "predictions/", "metrics/targets/", "metrics/probes/")  # outputs that `score` reads
RESULTS = ("params.yaml", "metrics/summary.json", "metrics/cells.json")
LOCK = "dvc.lock"
SWEEP_FOLDER = Path(".dvc/tmp/sweep")
SWEEP_FILE = "sweep.json"  # in a folder of SWEEP_FOLDER for each sweep: its commit, experiments and tasks (records.py)


@dataclass(frozen=True)
class Experiment:
    """One run of the pipeline: a reference of DVC's, refs/exps/<two digits>/<the rest of its baseline>/<name>."""

    name: str
    commit: str
    baseline: str
    params: dict[str, Any] = field(repr=False)
    summary: dict[str, Any] = field(repr=False)
    cells: dict[str, Any] = field(repr=False)
    outputs: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The MD5 of every output of its stages, by path."""

    @property
    def order(self) -> Order:
        """The steps. On the command line, YAML reads the task `null` as its own null."""
        return tuple("null" if step is None else step for step in self.params["order"])

    @property
    def seed(self) -> int:
        return int(self.params["seed"])

    @property
    def flags(self) -> dict[str, str]:
        """What went wrong, by `<checkpoint> <task>` or target. A step on shuffled labels (`null`) cannot learn."""
        flags: dict[str, str] = self.summary.get("flags", {})
        return {place: flag for place, flag in flags.items() if place.split()[-1] != "null"}


@dataclass(frozen=True)
class Progress:
    """How far a sweep has come."""

    finished: int
    total: int
    seeds: Mapping[int, bool]
    """The seeds in the sequence in which they run, and whether all their experiments have finished."""


def git(*arguments: str, root: Path = Path(), stdin: str | None = None) -> str:
    """Run Git and return what it prints. Raises InputError if it fails."""
    return run_program("git", *arguments, root=root, stdin=stdin)


def dvc(*arguments: str, root: Path = Path()) -> str:
    """Run the DVC of this environment and return what it prints. Raises InputError if it fails."""
    return run_program(Path(sys.executable).with_name("dvc"), *arguments, root=root)


def run_program(program: str | Path, *arguments: str, root: Path, stdin: str | None = None) -> str:
    """Run a program in a folder and return what it prints.

    Raises InputError with the last line of its stderr if it fails.
    """
    done = subprocess.run([program, *arguments], cwd=root, input=stdin, capture_output=True, text=True)
    if done.returncode:
        command = " ".join([Path(program).name, *arguments])
        raise InputError(f"`{command}` failed in {root.resolve()}: {last_line(done.stderr)}")
    return done.stdout


def last_line(stderr: str) -> str:
    """Return the last line that a failed program wrote; a killed one may have written none."""
    lines = [line for line in stderr.strip().splitlines() if line and not line.startswith("Having any troubles?")]
    return lines[-1] if lines else "it printed no error and may have been killed"


def read_experiments(root: Path = Path()) -> list[Experiment]:
    """Return the scored experiments of a repository, oldest first."""
    return read_scored_and_others(root)[0]


def read_scored_and_others(root: Path = Path()) -> tuple[list[Experiment], dict[str, str]]:
    """Return the scored experiments of a repository, oldest first, and why each of the others is not scored, by name.

    Scores count only if every stage ran with the experiment's own parameters (see `_is_whole`). `dvc exp run` of some
    stages commits new parameters beside the scores of the run before.
    """
    references = []
    listing = git("for-each-ref", "refs/exps", "--sort=creatordate", "--format=%(objectname) %(refname)", root=root)
    for line in listing.splitlines():
        commit, reference = line.split(" ", 1)
        parts = reference.split("/", 4)
        if len(parts) == 5 and len(parts[2] + parts[3]) == 40:
            references.append((parts[4], commit, parts[2] + parts[3]))
    experiments, others = [], {}
    files = (*RESULTS, LOCK)
    blobs = _read_blobs((f"{commit}:{name}" for _, commit, _ in references for name in files), root)
    for name, commit, baseline in references:
        *texts, lock = (next(blobs) for _ in files)
        if lock is None or any(text is None for text in texts):
            others[name] = "it has no scores"
            continue
        stages = _parse_lock(lock)
        experiment = Experiment(name, commit, baseline, *_parse_results(texts), _outputs_of(stages))
        if "plan" not in experiment.params or "inputs" not in experiment.cells:
            others[name] = "an older version of Stiltwalk made it"
        elif not _is_whole(experiment, stages):
            others[name] = "only some of its stages ran"
        else:
            experiments.append(experiment)
    return experiments, others


def unfinished_sweep(experiments: Iterable[Experiment], root: Path = Path()) -> Progress | None:
    """Return how far the latest sweep has come; None if it is complete or has nothing to do with the experiments."""
    paths = (root / SWEEP_FOLDER).glob(f"*/{SWEEP_FILE}")
    if (path := max(paths, key=lambda path: path.stat().st_mtime, default=None)) is None:
        return None
    sweep = json.loads(path.read_text(encoding="utf-8"))
    finished = {one.name for one in experiments if one.baseline == sweep["commit"]}
    names = {int(seed): set(names) for seed, names in sweep["seeds"].items()}
    total, n_finished = sum(map(len, names.values())), sum(len(finished & group) for group in names.values())
    if not 0 < n_finished < total:
        return None
    return Progress(n_finished, total, {seed: group <= finished for seed, group in names.items()})


def code_version(commit: str, root: Path = Path()) -> str:
    """Return Git's hashes of the code that stages run in a commit. Experiments of equal versions may be compared."""
    return git("ls-tree", commit, "--", *CODE, root=root)


def read_workspace(root: Path = Path()) -> Experiment | None:
    """Return the run in the working tree; None if its scores were not made with its parameters."""
    paths = [root / name for name in RESULTS]
    if not (root / LOCK).is_file() or not all(path.is_file() for path in paths):
        return None
    results = _parse_results([path.read_text(encoding="utf-8") for path in paths])
    stages = _read_lock(root)
    experiment = Experiment(WORKSPACE, "", "", *results, _outputs_of(stages))
    return experiment if _is_whole(experiment, stages) else None


def read_committed(root: Path = Path()) -> Experiment | None:
    """Return the run whose results HEAD has; None if HEAD has none."""
    texts = list(_read_blobs((f"HEAD:{name}" for name in RESULTS), root))
    if any(text is None for text in texts):
        return None
    experiment = Experiment("HEAD", "HEAD", "HEAD", *_parse_results(texts))
    return experiment if "plan" in experiment.params else None


def read_output(experiment: Experiment, path: str, root: Path = Path()) -> str | None:
    """Return the text of an output of an experiment, from DVC's local cache; None where the cache lacks it."""
    if experiment.name == WORKSPACE:
        return (root / path).read_text(encoding="utf-8") if (root / path).is_file() else None
    cached = _cached_path(experiment.outputs[path], root)
    return cached.read_text(encoding="utf-8") if cached.is_file() else None


def find_output_files(experiment: Experiment, folder: str, root: Path = Path()) -> dict[str, Path] | None:
    """Return the files of an experiment's output folder by name, in DVC's local cache; None where it lacks any of them.

    For the run in the working tree, they are the files there.
    """
    if experiment.name == WORKSPACE and (root / folder).is_dir():
        return {path.name: path for path in sorted((root / folder).iterdir())}
    md5 = experiment.outputs.get(folder)
    if md5 is None or not _cached_path(md5, root).is_file():
        return None
    listing = json.loads(_cached_path(md5, root).read_text(encoding="utf-8"))
    files = {entry["relpath"]: _cached_path(entry["md5"], root) for entry in listing}
    return files if all(path.is_file() for path in files.values()) else None


def _cached_path(md5: str, root: Path) -> Path:
    return _cache_folder(root) / "files/md5" / md5[:2] / md5[2:]


@functools.cache
def _cache_folder(root: Path) -> Path:
    return root / dvc("cache", "dir", root=root).strip()


def completed_stages(candidates: Iterable[Mapping[str, Any]], root: Path = Path()) -> set[str]:
    """Return the stages whose outputs exist and, according to dvc.lock, were made with some of these parameters.

    candidates: contents of params.yaml.
    """
    candidates = list(candidates)
    return {
        name
        for name, stage in (_read_lock(root) if (root / LOCK).is_file() else {}).items()
        if all((root / out["path"]).exists() for out in stage["outs"])
        and any(_ran_with(params, stage) for params in candidates)
    }


def _outputs_of(stages: Mapping[str, Any]) -> dict[str, str]:
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}


def _read_lock(root: Path) -> dict[str, Any]:
    return _parse_lock((root / LOCK).read_text("utf-8"))


def _parse_lock(text: str) -> dict[str, Any]:
    """Return the stages of dvc.lock. DVC writes YAML 1.2, in which `no` is a text."""
    stages: dict[str, Any] = YAML(typ="safe").load(text)["stages"]
    return stages


def _is_whole(experiment: Experiment, lock: Mapping[str, Any]) -> bool:
    """Return whether the stages in a dvc.lock are one run with the experiment's parameters, so that the scores are its.

    Every stage of the plan ran with the parameters, and no two of them read or wrote different versions of one file.
    The stage `score` depends on whole folders, so it records itself which versions of their parts it read. A failed
    run, and a run of some stages, leave the scores of an earlier one.
    """
    params, inputs = experiment.params, experiment.cells.get("inputs")
    plan = params.get("plan")
    if plan is None or inputs is None:
        return False  # of an older version
    names = [f"{group}@{key}" for group, block in FOREACH.items() for key in plan[block]]
    stages = [lock.get(name, {}) for name in ["world", "encoder", *names, "score"]]
    if not all(_ran_with(params, stage) for stage in stages):
        return False
    outputs = _outputs_of(dict(zip(names, stages[2:], strict=False)))
    if any(inputs.get(path) != md5 for path, md5 in outputs.items() if path.startswith(SCORED)):
        return False
    versions: dict[str, str] = {}
    entries = (entry for stage in stages for entry in (*stage["deps"], *stage["outs"]))
    return all(versions.setdefault(entry["path"], entry["md5"]) == entry["md5"] for entry in entries)


def _ran_with(params: Mapping[str, Any], stage: Mapping[str, Any]) -> bool:
    """Return whether dvc.lock says that the stage ran with these parameters."""
    used = stage.get("params", {}).get("params.yaml")
    return used is not None and all(_look_up(params, key) == value for key, value in used.items())


def _look_up(params: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        params = params.get(part) if isinstance(params, dict) else None
    return params


def _parse_results(texts: list[Any]) -> tuple[Any, Any, Any]:
    params, summary, cells = texts
    return read_yaml(params), json.loads(summary), json.loads(cells)


def _read_blobs(names: Iterable[str], root: Path) -> Iterator[str | None]:
    """Yield the texts of `<commit>:<path>`, None where there is no such file, from a single Git process."""
    output = subprocess.run(
        ["git", "cat-file", "--batch"],
        cwd=root,
        input="".join(f"{name}\n" for name in names).encode(),
        capture_output=True,
        check=True,
    ).stdout
    stream = io.BytesIO(output)
    while head := stream.readline().rstrip(b"\n"):
        if head.endswith(b"missing"):
            yield None
            continue
        yield stream.read(int(head.rsplit(b" ", 1)[1])).decode()
        stream.readline()
