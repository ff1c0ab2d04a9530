"""The command src/compare.py: its table, and its messages."""

import json
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import compare
from laboratory import ROOT
from stiltwalk.analysis.settings import SettingsGroup
from stiltwalk.report import listing
from stiltwalk.report.figure import Figure
from stiltwalk.sweep.experiments import Experiment, read_committed
from stiltwalk.utils.errors import InputError


def make_run(name: str, order: list[str], **tasks: dict[str, Any]) -> Experiment:
    return Experiment(name, "", "", {"order": order, "seed": 42}, {"tasks": tasks}, {})


def set_experiments(monkeypatch: pytest.MonkeyPatch, runs: list[Experiment], workspace: Any = None) -> None:
    monkeypatch.setattr(
        compare, "read_scored_and_others", lambda: (list(runs), {"part": "only some of its stages ran"})
    )
    monkeypatch.setattr(compare, "read_workspace", lambda: workspace)


def test_the_table_has_a_line_for_each_experiment(capsys):
    mnli = {"english": 89.34, "non_english": 61.55, "score": 65.0}
    runs = [
        make_run("workspace", [], xnli=mnli, tatoeba={"non_english": 89.6, "score": 89.6}),
        make_run("mnli-first", ["mnli", "squad"], xnli=mnli),
    ]
    listing.print_table(runs)
    assert capsys.readouterr().out.splitlines() == [
        "experiment  order          seed  xnli         tatoeba",
        "workspace   none           42    89.3 / 61.5  - / 89.6",
        "mnli-first  mnli -> squad  42    89.3 / 61.5",
    ]


def test_groups_are_headed_by_their_first_five_differences(capsys):
    run = make_run("one", [])
    small = SettingsGroup(settings={f"training.{name}": 1 for name in "abcdefg"}, members=[run], primary=[run])
    large = SettingsGroup(settings={"training.a": 1}, members=[run], primary=[run])
    listing.print_groups([small, large], large)
    out = capsys.readouterr().out
    names = ", ".join(f"training.{name}=1" for name in "bcdef")
    assert out.startswith("the most experiments with the same settings, which the report compares:\nexperiment")
    assert f"\n\nothers, with {names} and 1 more:\nexperiment" in out
    assert out.endswith("\n\nEnglish / mean of the other languages; - where there is none\n")


def test_the_working_tree_is_the_latest_run_unless_a_sweep_is_named(monkeypatch):
    runs = [make_run("first.mnli-s1", ["mnli"]), make_run("mnli-s1", ["mnli"])]
    workspace = make_run("workspace", [])
    set_experiments(monkeypatch, runs, workspace)
    others = {"part": "only some of its stages ran"}
    assert compare.select_experiments("") == ([*runs, workspace], others)
    assert compare.select_experiments("first") == (runs[:1], {})
    with pytest.raises(InputError, match="--name second: no sweep of this name has an experiment"):
        compare.select_experiments("second")


def test_scores_of_a_failed_run_are_left_out_with_a_message(monkeypatch, tmp_path: Path, capsys):
    monkeypatch.chdir(tmp_path)
    run = make_run("mnli-s1", ["mnli"])
    set_experiments(monkeypatch, [run])
    assert compare.select_experiments("") == ([run], {"part": "only some of its stages ran"})
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/summary.json").touch()
    experiments, others = compare.select_experiments("")
    assert experiments == [run]
    listing.print_others(others)
    assert capsys.readouterr().out == (
        "not scored: the working tree, because not all of its stages ran with its parameters; "
        "`dvc repro` runs the others\n"
        "not scored: part, because only some of its stages ran\n"
    )


def test_without_experiments_the_command_says_how_to_run_one(monkeypatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    set_experiments(monkeypatch, [])
    with pytest.raises(InputError, match="no experiments yet; run `dvc exp run` for one"):
        compare.main(
            Namespace(name="", table=True, smallest=1.0, scores=None, validation=None, separator=",", looks=None)
        )


def test_flagged_and_incomparable_scores_are_marked(capsys):
    run = make_run(
        "one", ["mnli"], xnli={"english": 33.3, "caution": "2 of XTREME's 15 languages"}, panx={"english": 1}
    )
    run.summary["flags"] = {"xnli": "not learned", "1-mnli mnli": "not learned"}
    group = SettingsGroup(members=[run], primary=[run])
    listing.print_groups([group], group)
    out = capsys.readouterr().out.splitlines()
    assert out[1] == "one         mnli!  42    33.3 / -!~  1.0 / -"
    assert [line[0] for line in out[-2:]] == ["!", "~"]


def test_a_run_with_other_settings_than_the_committed_one_is_not_compared_with_it(capsys, monkeypatch):
    committed = read_committed(ROOT)
    assert committed
    monkeypatch.setattr(listing, "read_committed", lambda: committed)
    listing.print_difference_from_head(replace(committed, params=committed.params | {"seed": 7}))
    assert not capsys.readouterr().out
    listing.print_difference_from_head(replace(committed, params=committed.params | {"source": "hub"}))
    assert "`dvc metrics diff` without names compares with HEAD's run, whose settings differ (source=world" in (
        capsys.readouterr().out
    )


def test_a_table_from_elsewhere_is_analysed_beside_its_file(tmp_path, capsys, monkeypatch):
    """From any folder, and without touching the report on the experiments."""
    monkeypatch.setattr(Figure, "write", lambda self, _: "<svg></svg>")
    rows = [
        f"{order},{seed},x,{50 + seed + 3 * place}" for place, order in enumerate(("a>b", "b>a")) for seed in (1, 2)
    ]
    scores = tmp_path / "mine.csv"
    scores.write_text("\n".join(["order,seed,target,score", *rows, "none,1,x,40", "none,2,x,41"]))
    monkeypatch.setattr(sys, "argv", ["compare.py", "--scores", str(scores), "--separator", ">"])
    compare.main(compare.parse())
    folder = tmp_path / "mine-report"
    assert (folder / "index.html").is_file() and (folder / "scores.csv").is_file()
    assert json.loads((folder / "order_effects.json").read_text())["design"]["controls"] == [[]]
    assert "mine-report/index.html: 6 experiments" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--validation", "v.csv"], "--validation and --separator need --scores"),
        (["--separator", ">"], "--validation and --separator need --scores"),
        (["--looks", "0"], "--looks is 0; it must be 1 or more"),
        (["--scores", "s.csv", "--looks", "2"], "a table does not say which seeds are still to come"),
        (["--smallest", "0"], "--smallest is 0.0; it must be a number of points above 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments, message, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["compare.py", *arguments])
    with pytest.raises(InputError, match=message):
        compare.main(compare.parse())
