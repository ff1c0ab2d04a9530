"""Which experiments a study analyses, and what it says about them."""

import csv
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from stiltwalk.analysis.runs import merge_runs
from stiltwalk.report import background
from stiltwalk.report.background import code_versions, read_sources
from stiltwalk.report.data_notes import data_notes
from stiltwalk.report.figure import Figure
from stiltwalk.report.page import write_report
from stiltwalk.report.study import build_study
from stiltwalk.sweep.experiments import Experiment, Progress
from stiltwalk.utils.errors import InputError

TARGETS = ["xnli", "panx", "xquad", "mlqa", "tatoeba"]  # in XTREME's order, which is not alphabetical
FORWARD, BACKWARD = ("mnli", "squad"), ("squad", "mnli")
KINDS = {"mnli": "pair", "squad": "qa", "xquad": "qa", "mlqa": "qa", "panx": "tagging", "tatoeba": "retrieval"}
SAMPLES = {"mnli": 6000, "squad": 0}


def make_params(order: tuple[str, ...]) -> dict[str, Any]:
    """Parameters of a run, with the parts that a study reads."""
    mixtures = {
        step: {
            "data": {task: {"sample": {"train": SAMPLES[task]}} for task in step.split("+")},
            "tasks": {task: {"kind": KINDS[task]} for task in step.split("+")},
        }
        for step in order
    }
    targets = {
        target: {"data": {"sample": {"train": 500}}, "task": {"kind": KINDS.get(target, "pair")}} for target in TARGETS
    }
    return {
        "order": list(order),
        "seed": 1,
        "encoder": {"path": "xlm-roberta-base"},
        "training": {"epochs": 3, "batch_size": 32, "learning_rate": 3e-5, "mixed_precision": "no"},
        "source": "world",
        "sample": {"train": 0, "test": 0},
        "plan": {"mixtures": mixtures, "targets": targets},
    }


def make_run(name: str, order: tuple[str, ...], score: float) -> Experiment:
    leaks = {target: {"leak": "squad"} for target in ("xquad", "mlqa") if "squad" in order}
    summary = {"tasks": {target: leaks.get(target, {}) for target in TARGETS}}
    cell = {"languages": {"de": score, "en": score + 10}, "validation": score}
    return Experiment(name, "", "", make_params(order), summary, {"targets": dict.fromkeys(TARGETS, cell), "steps": {}})


@pytest.fixture(autouse=True)
def without_drawing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run in an empty folder, without data/sources; figures are composed but not drawn."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Figure, "write", lambda self, _: '<svg role="img" aria-label="a figure"></svg>')


def write_page(experiments: list[Experiment]) -> str:
    result = build_study(experiments, [])
    assert result
    write_report(result.page, Path("report"))
    return Path("report/index.html").read_text(encoding="utf-8")


def visible_text(page: str) -> str:
    return unescape(re.sub("<[^>]*>", "", page))


def test_the_last_of_several_runs_of_one_order_and_seed_counts():
    runs = [
        make_run("workspace", BACKWARD, 50.0),
        make_run("old-one", FORWARD, 10.0),
        make_run("new-one", FORWARD, 60.0),
        make_run("backward-one", BACKWARD, 50.0),
    ]
    text = visible_text(write_page(runs))
    assert (
        "the last one that has a target gives its score; we exclude old-one." in text
        and "15.0" not in text
        and "65.0" in text
    )


def narrow(name: str, order: tuple[str, ...], score: float) -> Experiment:
    """A run with a single target, xnli."""
    run = make_run(name, order, score)
    run.params["plan"]["targets"] = {"xnli": run.params["plan"]["targets"]["xnli"]}
    run.summary["tasks"] = {"xnli": {}}
    run.cells["targets"] = {"xnli": run.cells["targets"]["xnli"]}
    run.cells["steps"] = {"0-encoder": {"retention": {}, "trajectory": [], "flags": {}}}
    return run


def with_trajectory(run: Experiment) -> Experiment:
    run.cells["steps"] = {"0-encoder": {"retention": {}, "trajectory": [50.0, 60.0], "flags": {}}}
    return run


def test_a_later_run_with_fewer_targets_replaces_only_the_scores_of_these():
    runs = [
        with_trajectory(make_run("full", FORWARD, 10.0)),
        make_run("backward", BACKWARD, 50.0),
        narrow("narrow", FORWARD, 60.0),
    ]
    result = build_study(runs, [])
    assert result and not result.page["design"]["missing"] and not result.page["replaced"]
    scores = {tuple(entry["steps"]): entry["scores"] for entry in result.page["orders"]}[FORWARD]
    assert (scores["xnli"]["mean"], scores["panx"]["mean"]) == (65.0, 15.0)
    assert [entry["layers"] for entry in result.page["trajectory"]] == [[[50.0, 60.0]]]  # of the full run
    result = build_study([narrow("narrow", FORWARD, 60.0), *runs], [])
    assert result and [run["name"] for run in result.page["replaced"]] == ["narrow"]


def test_a_flag_is_gone_when_a_later_run_has_none():
    flagged, later = narrow("flagged", FORWARD, 10.0), narrow("later", FORWARD, 60.0)
    flagged.summary["flags"] = {"xnli": "not learned", "0-encoder mnli": "not learned", "2-squad squad": "not learned"}
    assert merge_runs([flagged, later]).summary["flags"] == {"2-squad squad": "not learned"}


def test_a_new_run_in_the_working_tree_counts_instead_of_an_older_experiment():
    runs = [make_run("old", FORWARD, 10.0), make_run("backward", BACKWARD, 50.0), make_run("workspace", FORWARD, 60.0)]
    result = build_study(runs, [])
    assert result and [run["name"] for run in result.page["replaced"]] == ["old"]
    assert "workspace" in [run["name"] for run in result.page["runs"]]


def test_notes_on_the_data_are_those_of_the_experiments(monkeypatch: pytest.MonkeyPatch):
    """The working tree may hold the data of an unrelated run."""
    path = "data/sources/xtreme/xnli.json"
    runs = [replace(make_run(name, FORWARD, 1.0), outputs={path: md5}) for name, md5 in ("a1", "b2", "c2")]
    texts = {"a": '{"notes": ["old"]}', "b": '{"notes": ["new"]}'}
    monkeypatch.setattr(background, "read_output", lambda run, _: texts.get(run.name))
    assert read_sources(runs) == {
        "xnli (in 1 of 3 experiments, such as a)": {"notes": ["old"]},
        "xnli (in 2 of 3 experiments, such as b)": {"notes": ["new"]},
    }
    assert read_sources(runs[:1]) == {"xnli": {"notes": ["old"]}}
    texts.clear()
    assert data_notes(read_sources(runs[:1]))[0]["lines"][0].startswith("DVC's cache lacks the file")


def test_targets_are_in_xtremes_order():
    page = write_page([make_run("a", FORWARD, 60.0), make_run("b", BACKWARD, 50.0)])
    header = re.findall(r'scope="col"[^>]*>(\w+)', page.partition('id="table-orders"')[2])
    assert header[:7] == ["order", "all", *TARGETS]
    assert re.findall('aria-label="languages-(.*?),', page) == TARGETS
    rows = list(csv.DictReader(Path("report/tables/orders.csv").read_text().splitlines()))[:6]
    assert [row["target"] for row in rows] == ["all", *TARGETS]


def test_leaks_are_marked():
    text = visible_text(write_page([make_run("a", FORWARD, 60.0), make_run("b", BACKWARD, 50.0)]))
    assert "xquad† (leak: squad)" in text and "(xquad, mlqa: squad)" in text and "xnli†" not in text


def test_joint_steps_can_be_permuted():
    orders = ("mnli+squad", "mnli"), ("mnli", "mnli+squad")
    page = write_page([make_run(str(order), order, 50.0 + i) for i, order in enumerate(orders)])
    assert "mnli+squad → mnli" in visible_text(page)


def test_the_study_lists_the_settings_that_all_experiments_share():
    result = build_study([make_run("a", FORWARD, 60.0), make_run("b", BACKWARD, 50.0)], [])
    assert result and result.page["settings"] == {
        "encoder": "xlm-roberta-base",
        "data": "the generated world",
        "rows a step": "mnli 6000, squad all",
        "rows a target": 500,
        "test rows a language": "all",
        "passes of a step": 3,
        "examples a batch": 32,
        "peak learning rate of a step": 3e-5,
        "precision": "float32",
    }
    table = visible_text(write_page([make_run("a", FORWARD, 60.0), make_run("b", BACKWARD, 50.0)]))
    assert "training rows per step" in table and "rows a step" not in table


def test_progress_and_other_settings_are_part_of_the_study():
    runs = [make_run("a", FORWARD, 60.0), make_run("b", BACKWARD, 50.0)]
    result = build_study(runs, [], n_other_settings=3, progress=Progress(2, 6, {1: False, 2: False}))
    assert result and result.page["unfinished"] == {"finished": 2, "of": 6} and result.page["apart"] == 3
    result = build_study(runs, [])
    assert result and result.page["unfinished"] is None and result.page["apart"] == 0


def test_without_two_tasks_to_permute_there_is_no_study():
    assert build_study([make_run("a", ("mnli",), 60.0)], []) is None


def test_a_task_that_no_experiment_has_is_an_error():
    with pytest.raises(InputError, match=r"--tasks: no experiment trains on 'qqp'; choose from mnli, squad$"):
        build_study([make_run("a", FORWARD, 60.0)], ["mnli", "qqp"])


def test_targets_are_no_tasks_to_permute():
    runs = [make_run("a", FORWARD, 60.0), make_run("b", ("mnli+squad", "mnli"), 50.0)]
    with pytest.raises(InputError, match=r"no experiment trains on 'xnli'; choose from mnli, squad, mnli\+squad$"):
        build_study(runs, ["xnli", "panx"])


def test_experiments_of_different_code_are_counted_by_version(monkeypatch):
    """Commits that differ only in code that plans, compares and draws are one version."""
    monkeypatch.setattr(background, "code_version", {"a": "one", "b": "one", "c": "other"}.get)
    runs = [Experiment("", "", baseline, {}, {}, {}) for baseline in "aabc"]
    versions = code_versions([*runs, Experiment("workspace", "", "", {}, {}, {})])
    assert versions == [{"experiments": 3, "commit": "b"}, {"experiments": 1, "commit": "c"}]
    assert code_versions(runs[:3]) == []
