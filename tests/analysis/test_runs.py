"""Which runs are analysed, and the tables and measures that are made from them."""

from typing import Any

import pytest

from stiltwalk.analysis.retention import retention_by_order, trajectories_by_order
from stiltwalk.analysis.runs import find_permuted_tasks, select_common_seeds
from stiltwalk.analysis.tables import score_tables, step_kinds
from stiltwalk.scoring.retention import retention_measures
from stiltwalk.sweep.experiments import Experiment

KINDS = {"mnli": "pair", "qqp": "pair", "squad": "qa", "xnli": "pair", "tatoeba": "retrieval"}


def make_run(order: tuple[str, ...], seed: int, retained: list[list[float]] | None = None) -> Experiment:
    """A run whose probes gave `retained`: for each step, the scores of its task and of the tasks before it."""
    keys = [f"{place}-{step}" for place, step in enumerate(order, 1)]
    steps: dict[str, Any] = {"0-encoder": {"retention": {}, "trajectory": [50.0, 60.0]}}
    for row, key in zip(retained or [], keys if retained else [], strict=True):
        scores = {one: {one.split("-")[1]: {"accuracy": value}} for one, value in zip(keys, row, strict=False)}
        steps[key] = {"retention": scores, "trajectory": [40.0, 50.0 + seed]}
    plan = {
        "mixtures": {step: {"tasks": {task: {"kind": KINDS[task]} for task in step.split("+")}} for step in order},
        "targets": {target: {"task": {"kind": KINDS[target]}} for target in ("xnli", "tatoeba")},
    }
    params = {"order": list(order), "seed": seed, "plan": plan}
    return Experiment(f"{order}{seed}", "", "", params, {"flags": {}}, {"targets": {}, "steps": steps})


def test_retention_is_averaged_over_seeds():
    runs = [
        make_run(("mnli", "squad"), 1, [[90.0], [70.0, 60.0]]),
        make_run(("mnli", "squad"), 2, [[92.0], [76.0, 66.0]]),
        make_run(("squad", "mnli"), 1, [[50.0], [45.0, 88.0]]),
    ]
    entries = {tuple(entry["order"]): entry for entry in retention_by_order(runs)}
    assert entries["mnli", "squad"]["matrix"] == [[91.0, None], [73.0, 63.0]]
    assert entries["mnli", "squad"]["steps"] == ["1-mnli", "2-squad"]
    measures = entries["mnli", "squad"]["measures"]
    assert (measures["backward_transfer"]["mean"], measures["backward_transfer"]["n"]) == (-18.0, 2)
    # Only with seed 1 is there a run in which SQuAD comes first.
    assert measures["forward_transfer"] == {"mean": 10.0, "sd": None, "n": 1}
    trajectory = {tuple(entry["order"]): entry for entry in trajectories_by_order(runs)}["mnli", "squad"]
    assert trajectory["checkpoints"] == ["0-encoder", "1-mnli", "2-squad"]
    assert trajectory["layers"] == [[50.0, 60.0], [40.0, 51.5], [40.0, 51.5]]


def test_a_run_without_all_probes_does_not_count_for_retention():
    complete = make_run(("mnli", "squad"), 1, [[90.0], [70.0, 60.0]])
    partial = make_run(("mnli", "squad"), 2, [[92.0], [76.0, 66.0]])
    partial.cells["steps"]["1-mnli"]["retention"] = {"1-mnli": {"mnli": {"accuracy": 92.0}}}
    partial.cells["steps"]["2-squad"]["retention"] = {}
    assert retention_by_order([complete, partial]) == retention_by_order([complete])


def test_measures_of_retention_of_three_steps():
    matrix: list[list[float | None]] = [[80, None, None], [84, 70], [74, 66, 50]]
    assert retention_measures(matrix, [None, 72, 45]) == {
        "average_accuracy": pytest.approx(190 / 3, abs=1e-6),
        "backward_transfer": -5.0,  # (74 - 80 + 66 - 70) / 2
        "forgetting": 7.0,  # (84 - 74 + 70 - 66) / 2
        "forward_transfer": 1.5,  # (70 - 72 + 50 - 45) / 2
    }
    one = retention_measures([[80]], [80])
    assert one.pop("average_accuracy") == 80 and set(one.values()) == {None}
    assert retention_measures(matrix, [None, None, 45])["forward_transfer"] is None


def test_the_permuted_tasks_are_those_of_most_orders():
    orders = [("mnli", "squad", "qqp"), ("squad", "mnli", "qqp"), ("mnli", "squad"), ("mnli",), (), ("mnli+squad",)]
    assert find_permuted_tasks(orders) == ["mnli", "qqp", "squad"]
    assert find_permuted_tasks([("mnli",)]) == []


def test_a_run_of_a_seed_that_few_orders_have_is_set_apart():
    orders = [("mnli",), ("squad",), ("mnli", "squad")]
    runs = [make_run(order, seed) for seed in (1, 2) for order in orders]
    rare = make_run(("mnli",), 42)
    incomplete = runs[:-1]  # a seed that lacks an order or two is common
    assert select_common_seeds([*incomplete, rare]) == (incomplete, [rare])
    assert select_common_seeds([rare]) == ([rare], [])


def test_tables_have_a_row_per_language_and_validation_only_of_tuned_targets():
    runs = [make_run(("mnli", "squad"), 1), make_run((), 2)]
    for run, score in zip(runs, (50.0, 60.0), strict=True):
        run.cells["targets"] = {
            "xnli": {"languages": {"en": score, "de": score - 10}, "validation": score + 1},
            "tatoeba": {"languages": {"de": score}, "validation": None},
        }
    runs[0].summary["flags"] = {"1-mnli mnli": "diverged", "tatoeba": "not learned"}
    tables = score_tables(runs)
    pair, retrieval = "1-mnli mnli diverged", "1-mnli mnli diverged; not learned"
    assert tables.scores.to_numpy().tolist() == [
        ["mnli,squad", 1, "xnli", "en", 50.0, pair, "pair", "qa"],
        ["mnli,squad", 1, "xnli", "de", 40.0, pair, "pair", "qa"],
        ["mnli,squad", 1, "tatoeba", "de", 50.0, retrieval, "retrieval", "qa"],
        ["", 2, "xnli", "en", 60.0, "", "pair", ""],
        ["", 2, "xnli", "de", 50.0, "", "pair", ""],
        ["", 2, "tatoeba", "de", 60.0, "", "retrieval", ""],
    ]
    assert tables.validation.to_numpy().tolist() == [["mnli,squad", 1, "xnli", 51.0], ["", 2, "xnli", 61.0]]
    assert tables.task_kinds == {"squad": "qa"} and tables.target_kinds == {"xnli": "pair", "tatoeba": "retrieval"}
    again = make_run((), 3)
    again.cells["targets"] = {"xnli": {"languages": {"en": 61.0}, "validation": 1.0}}
    means = score_tables([*runs, again]).language_means
    assert means["xnli"] == {"": {"de": 50.0, "en": 60.5}, "mnli,squad": {"de": 40.0, "en": 50.0}}


def test_a_joint_step_of_two_kinds_has_the_kind_joint():
    run = make_run(("mnli+squad", "mnli+qqp"), 1)
    assert step_kinds([run]) == {
        "mnli": "pair",
        "qqp": "pair",
        "squad": "qa",
        "mnli+squad": "joint",
        "mnli+qqp": "pair",
    }
