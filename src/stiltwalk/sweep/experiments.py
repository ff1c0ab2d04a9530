"""The experiments that Git holds: the parameters and results of each, read from its commit."""

import json
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stiltwalk.sweep.trie import Order
from stiltwalk.utils.stage import read_yaml

NOW = "workspace"
# What makes a score: the code of the stages and their libraries; all else of src/ plans, compares and draws.
SCRIPTS = ["world", "encoder", "data", "encode", "xtreme", "encode_xtreme", "intermediate", "probe", "target", "score"]
FOLDERS = ["common", "encoders", "encoding", "kinds", "modeling", "scoring", "sources", "training"]
CODE = ("dvc.yaml", "requirements.lock", *(f"src/{name}.py" for name in SCRIPTS), *(f"src/{name}" for name in FOLDERS))
FILES = ("params.yaml", "metrics/summary.json", "metrics/cells.json")
LOCK = "dvc.lock"
PLACE = Path(".dvc/tmp/sweep")
WANTED = "wanted.json"  # there: the commit and the names of the experiments of the last sweep


@dataclass(frozen=True)
class Experiment:
    """One run of the pipeline: a reference of DVC's (refs/exps/<two digits>/<the rest of its baseline>/<name>)."""

    name: str
    commit: str
    baseline: str
    params: dict[str, Any] = field(repr=False)
    summary: dict[str, Any] = field(repr=False)
    cells: dict[str, Any] = field(repr=False)

    @property
    def order(self) -> Order:
        """Its steps; on the command line `null` is no text but YAML's null."""
        return tuple("null" if step is None else step for step in self.params["order"])

    @property
    def seed(self) -> int:
        return self.params["seed"]


def git(*arguments: str, root: Path = Path(), given: str | None = None) -> str:
    """What a git command prints; its own message where it fails."""
    return subprocess.run(["git", *arguments], cwd=root, input=given, capture_output=True, text=True, check=True).stdout


def read_experiments(root: Path = Path()) -> list[Experiment]:
    """All finished experiments of a repository, the oldest first, but those of versions that had other files."""
    refs = []
    for line in git(
        "for-each-ref", "refs/exps", "--sort=creatordate", "--format=%(objectname) %(refname)", root=root
    ).splitlines():
        commit, ref = line.split(" ", 1)
        parts = ref.split("/", 4)
        if len(parts) == 5 and len(parts[2] + parts[3]) == 40:
            refs.append((parts[4], commit, parts[2] + parts[3]))
    found = []
    blobs = _blobs((f"{commit}:{name}" for _, commit, _ in refs for name in FILES), root)
    for name, commit, baseline in refs:
        texts = [next(blobs) for _ in FILES]
        if all(text is not None for text in texts):
            found.append(Experiment(name, commit, baseline, *_parsed(texts)))
    return found


def unfinished(experiments: Iterable[Experiment], root: Path = Path()) -> dict[str, int] | None:
    """How many of the last sweep's experiments there are; None where it was none of these, or all of them are."""
    path = root / PLACE / WANTED
    if not path.is_file():
        return None
    sweep = json.loads(path.read_text(encoding="utf-8"))
    finished = {one.name for one in experiments if one.baseline == sweep["commit"]} & set(sweep["names"])
    return {"finished": len(finished), "of": len(sweep["names"])} if 0 < len(finished) < len(sweep["names"]) else None


def code_of(commit: str, root: Path = Path()) -> str:
    """What stages run in a commit, by Git's names of its contents: experiments of equal ones may be compared."""
    return git("ls-tree", commit, "--", *CODE, root=root)


def read_workspace(root: Path = Path()) -> Experiment | None:
    """What the files of the working tree say; None where a score is yet to be made of the parameters that lie there."""
    paths = [root / name for name in FILES]
    if not (root / LOCK).is_file() or not all(path.is_file() for path in paths):
        return None
    found = Experiment(NOW, "", "", *_parsed([path.read_text(encoding="utf-8") for path in paths]))
    return found if _made_of(found.params, _locked(root)) else None


def _locked(root: Path) -> dict[str, Any]:
    """The stages of dvc.lock."""
    return YAML(typ="safe").load(root / LOCK)["stages"]  # type: ignore[no-any-return]  # YAML 1.2, where `no` is a text


def _made_of(params: dict[str, Any], stages: dict[str, Any]) -> bool:
    """Whether what bears on the scores last ran with these parameters: a run that fails leaves older scores."""
    groups = {"intermediate": "chain", "data": "mixtures", "target": "tunings"}
    if not params.keys() >= set(groups.values()):
        return False  # of an older version
    names = [f"{stage}@{key}" for stage, group in groups.items() for key in params[group]]
    return all(_with(params, stages.get(name, {})) for name in ["encoder", *names, "score"])


def _with(params: dict[str, Any], stage: dict[str, Any]) -> bool:
    """Whether dvc.lock says that the stage ran with these parameters."""
    used = stage.get("params", {}).get("params.yaml")
    return used is not None and all(_value(params, key) == value for key, value in used.items())


def made(several: Iterable[dict[str, Any]], root: Path = Path()) -> set[str]:
    """The stages whose outputs lie in the working tree and were made with one of these parameters, by dvc.lock."""
    return {
        name
        for name, stage in (_locked(root) if (root / LOCK).is_file() else {}).items()
        if all((root / out["path"]).exists() for out in stage["outs"])
        and any(_with(params, stage) for params in several)
    }


def _value(params: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        params = params.get(part) if isinstance(params, dict) else None
    return params


def _parsed(texts: list[Any]) -> tuple[Any, Any, Any]:
    params, summary, cells = texts
    return read_yaml(params), json.loads(summary), json.loads(cells)


def _blobs(names: Iterable[str], root: Path) -> Iterator[str | None]:
    """The texts of `<commit>:<path>`, None for what is not there, by one process of git."""
    output = subprocess.run(
        ["git", "cat-file", "--batch"],
        cwd=root,
        input="".join(f"{name}\n" for name in names).encode(),
        capture_output=True,
        check=True,
    ).stdout
    while output:
        head, _, output = output.partition(b"\n")
        if head.endswith(b"missing"):
            yield None
            continue
        size = int(head.rsplit(b" ", 1)[1])
        yield output[:size].decode()
        output = output[size + 1 :]
