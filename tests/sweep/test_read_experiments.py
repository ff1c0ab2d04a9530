"""What Git and the working tree say about experiments."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from laboratory import ROOT, compose
from stiltwalk.sweep.experiments import (
    RESULTS,
    SWEEP_FILE,
    SWEEP_FOLDER,
    Experiment,
    Progress,
    code_version,
    git,
    read_experiments,
    read_scored_and_others,
    read_workspace,
    unfinished_sweep,
)
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.files import write_json


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The committed run, whatever has run since: parameters, lock and scores."""
    (tmp_path / "metrics").mkdir()
    for name in (*RESULTS, "dvc.lock"):
        (tmp_path / name).write_text(git("show", f"HEAD:{name}", root=ROOT), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("change", ["order=[mnli]", "order=[]", "training.epochs=1", "seed=1", "targets=[xnli]"])
def test_scores_of_an_earlier_run_do_not_belong_to_new_parameters(tree: Path, change: str):
    run = read_workspace(tree)
    assert run and run.order == ("hellaswag", "squad", "mnli")
    compose(tree / "params.yaml", change)  # as `dvc exp run -S` leaves the file if a stage fails
    assert read_workspace(tree) is None


def test_an_experiment_of_a_few_stages_has_no_scores(tree: Path):
    """`dvc exp run -S seed=7 <stage>` commits new parameters beside the scores and the lock of the run before."""
    git("init", "-q", "-b", "main", root=tree)
    for name, change in (("whole", ""), ("partial", "seed=7"), ("without-lock", "")):
        if change:
            compose(tree / "params.yaml", change)
        if name == "without-lock":
            (tree / "params.yaml").write_text(git("show", "HEAD:params.yaml", root=ROOT), encoding="utf-8")
            (tree / "dvc.lock").unlink()
        git("add", "-A", root=tree)
        git("-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", name, root=tree)
        commit = git("rev-parse", "HEAD", root=tree).strip()
        git("update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/{name}", commit, root=tree)
    experiments, others = read_scored_and_others(tree)
    assert [one.name for one in experiments] == ["whole"]
    assert others == {"partial": "only some of its stages ran", "without-lock": "it has no scores"}


@pytest.mark.parametrize(
    ("stage", "part", "path"),
    [
        ("data@squad", "outs", "data/intermediate/squad"),  # made again from rows of the hub that have changed
        ("intermediate@2-squad", "deps", "src/stiltwalk/training"),  # run again after a change of code
        ("world", "params", "world"),
        ("xtreme@xnli", "params", "plan.targets.xnli.data"),
    ],
)
def test_scores_older_than_one_of_the_stages_behind_them_do_not_count(tree: Path, stage: str, part: str, path: str):
    assert read_workspace(tree)
    lock = YAML(typ="safe").load(tree / "dvc.lock")
    if part == "params":
        lock["stages"][stage][part]["params.yaml"][path] = {}
    else:
        (entry,) = [entry for entry in lock["stages"][stage][part] if entry["path"] == path]
        entry["md5"] = "0" * 32
    YAML().dump(lock, tree / "dvc.lock")
    assert read_workspace(tree) is None


def test_without_a_run_there_are_no_scores(tree: Path):
    (tree / "dvc.lock").unlink()
    assert read_workspace(tree) is None


def test_scores_do_not_count_if_every_stage_but_score_has_run_again(tree: Path):
    """`score` reads whole folders, so dvc.lock alone does not tell which outputs of other stages it read."""
    cells = json.loads((tree / "metrics/cells.json").read_text(encoding="utf-8"))
    for path in ("predictions/tatoeba", "metrics/targets/xnli.json", "metrics/probes/retention/2-squad.json"):
        changed = cells | {"inputs": cells["inputs"] | {path: "0" * 32}}
        write_json(changed, tree / "metrics/cells.json")
        assert read_workspace(tree) is None
    write_json(cells, tree / "metrics/cells.json")
    assert read_workspace(tree)


def test_an_unfinished_sweep_reports_its_progress(tmp_path: Path):
    runs = [Experiment(name, "", commit, {}, {}, {}) for name, commit in (("a", "now"), ("b", "before"), ("x", "now"))]
    assert unfinished_sweep(runs, tmp_path) is None
    write_json({"commit": "now", "seeds": {"1": ["a"], "2": ["b"]}}, tmp_path / SWEEP_FOLDER / "one" / SWEEP_FILE)
    assert unfinished_sweep(runs, tmp_path) == Progress(1, 2, {1: True, 2: False})  # b, of another commit, is run again
    assert unfinished_sweep([*runs, Experiment("b", "", "now", {}, {}, {})], tmp_path) is None
    assert unfinished_sweep(runs[1:], tmp_path) is None  # experiments of another sweep


def test_the_version_of_the_code_covers_stages_but_not_the_report():
    version = code_version("HEAD", ROOT)
    assert "dvc.yaml" in version and "src/stiltwalk/training" in version and "src/stiltwalk/report" not in version


def test_a_failure_of_git_is_one_line(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(InputError, match=r"^`git for-each-ref .*` failed in .*: fatal: not a git repository [^\n]*$"):
        read_experiments(tmp_path)
