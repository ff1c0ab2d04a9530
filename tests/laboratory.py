"""A clone of this repository to run experiments in, on a world made small."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml
from dvc.utils.hydra import compose_and_dump

ROOT = Path(__file__).parent.parent
SCALE = yaml.safe_load((ROOT / "conf/scale/mini.yaml").read_text(encoding="utf-8"))
SMALL = {"sample": {"train": 64, "validation": 16, "test": 12}, "training": {"epochs": 1}}
OWN = [(f"{group}.{name}.", own) for group in ("tasks", "xtreme") for name, own in SCALE[group].items()]
TINY = [
    "encoder.steps=20",
    "encoder.documents=500",
    "encoder.facts=500",
    *(  # of the scale, and of the tasks and targets that have a number of their own
        f"{place}{block}.{key}={value}"
        for place, given in [("", SMALL), *OWN]
        for block, values in SMALL.items()
        for key, value in values.items()
        if key in given.get(block, {})
    ),
    "targets=[xnli,udpos,xquad,tatoeba]",
]


class Project:
    """A clone with the working tree's files; `run` calls a command in it as a user would."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(self, *command: str, code: int = 0) -> str:
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert done.returncode == code, f"{' '.join(command)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout + done.stderr

    def experiment(self, *overrides: str, queue: bool = False, name: str = "", stage: str = "", code: int = 0) -> str:
        sets = [word for override in [*TINY, *overrides] for word in ("-S", override)]
        options = [*(["--queue"] if queue else []), *(["-n", name] if name else [])]
        return self.run("dvc", "exp", "run", *options, *sets, *filter(None, [stage]), code=code)

    def outs(self, *stages: str) -> dict[str, str]:
        """By path the hash of every output of these stages, or of all, as dvc.lock has them."""
        lock = yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]
        return {out["path"]: out["md5"] for stage in stages or lock for out in lock[stage].get("outs", [])}

    def summary(self, experiment: str = "") -> dict:
        if not experiment:
            return json.loads((self.folder / "metrics/summary.json").read_text())
        refs = self.run("git", "for-each-ref", "refs/exps", "--format=%(refname)").split()
        ref = next(ref for ref in refs if ref.endswith(f"/{experiment}"))
        return json.loads(self.run("git", "show", f"{ref}:metrics/summary.json"))


def compose(out: Path, *overrides: str, conf: Path = ROOT / "conf") -> dict:
    """params.yaml as `dvc exp run -S ...` composes it, written to `out`."""
    compose_and_dump(out, str(conf), None, "config", str(ROOT / "src"), list(overrides))
    return yaml.safe_load(out.read_text())


def task_of_ones_own() -> str:
    """The record that docs/own-data.md tells a reader to add to conf/tasks.yaml."""
    (record,) = re.findall(r"```yaml\n(  snli:\n.*?)```", (ROOT / "docs/own-data.md").read_text(encoding="utf-8"), re.S)
    return record


def clone(folder: Path, locked: Sequence[str] | None = ()) -> Project:
    """A repository of the tracked files as they stand in the working tree.

    dvc.lock, the default run's, keeps only the stages `locked`, or all for None: DVC reads and writes it with every
    stage that it runs, and 70 kB of it take a quarter of the time of a small run.
    """
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    if locked is not None:
        keep_locked(folder / "dvc.lock", locked)
    project = Project(folder)
    project.run("git", "init", "-q", "-b", "main")
    project.run("git", "config", "user.email", "test@example.org")
    project.run("git", "config", "user.name", "test")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "start")
    return project


def keep_locked(path: Path, stages: Sequence[str]) -> None:
    """Remove all other stages from a dvc.lock, and the file if none are left."""
    head, *texts = re.split(r"^(?=  \S)", path.read_text(), flags=re.M)
    kept = [text for text in texts if text.strip().partition(":")[0] in stages]
    assert len(kept) == len(stages), path
    if kept:
        path.write_text("".join([head, *kept]))
    else:
        path.unlink()


def ran(output: str, group: str = "") -> list[str]:
    """The stages that were run, of a group or all; those restored from the run cache are not among them."""
    return [name for name in re.findall(r"Running stage '([^']+)'", output) if name.startswith(group)]
