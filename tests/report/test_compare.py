"""What the working tree says of itself."""

from pathlib import Path

import pytest

from laboratory import ROOT, compose
from stiltwalk.sweep.experiments import FILES, git, read_workspace


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The committed run, whatever ran since: parameters, lock and scores."""
    (tmp_path / "metrics").mkdir()
    for name in (*FILES, "dvc.lock"):
        (tmp_path / name).write_text(git("show", f"HEAD:{name}", root=ROOT), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("change", ["order=[mnli]", "order=[]", "training.epochs=1", "seed=1", "targets=[xnli]"])
def test_scores_of_an_earlier_run_are_not_those_of_new_parameters(tree: Path, change: str):
    run = read_workspace(tree)
    assert run and run.order == ("hellaswag", "squad", "mnli")
    compose(tree / "params.yaml", change)  # as `dvc exp run -S` leaves it where a stage fails
    assert read_workspace(tree) is None


def test_without_a_run_there_are_no_scores(tree: Path):
    (tree / "dvc.lock").unlink()
    assert read_workspace(tree) is None
