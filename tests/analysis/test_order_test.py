"""The test of order: its size and its power at every depth of the tree, over targets, and its bounds."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simulate import KINDS, THREE, all_orders, simulate, simulate_all_orders
from stiltwalk.analysis.effects import order_effects
from stiltwalk.analysis.order_test import (
    decide,
    find_strata,
    holm,
    joint_test,
    order_p_value,
    order_sd_interval,
)
from stiltwalk.analysis.verdicts import run_tests
from stiltwalk.sweep.designs import make_orders

DESIGNS = [("all", 3), ("random:6", 5), ("efficient:24", 4), ("efficient:40", 4)]


def make_table(design: str, n_tasks: int, n_targets: int = 300, **effects: Any) -> pd.DataFrame:
    """Simulate a design with three seeds; a row per run and a column per independent target."""
    tasks = list("abcde")[:n_tasks]
    orders = [",".join(order) for order in make_orders(design, tasks)]
    targets = [f"t{number:03}" for number in range(n_targets)]
    rng = np.random.default_rng(7)
    scores, _ = simulate(tasks, orders, (1, 2, 3), targets, ["en"], rng=rng, **{"seed_sd": 1.0, **effects})
    return scores.pivot(index=["order", "seed"], columns="target", values="score")


def rejected(table: pd.DataFrame) -> float:
    return float(np.mean([order_p_value(table[target].dropna()) <= 0.05 for target in table]))


def first_task_effect(table: pd.DataFrame, points: float) -> pd.DataFrame:
    """Add points to all orders that begin with the last task in the alphabet."""
    first = np.array([order.split(",")[0] for order in table.index.get_level_values("order")])
    return table.add(points * (first == max(first)), axis=0)


@pytest.mark.parametrize(("design", "tasks"), DESIGNS)
@pytest.mark.parametrize("step_sd", [0.0, 1.5])
def test_the_false_positive_rate_is_the_significance_level(design, tasks, step_sd):
    table = make_table(design, tasks, step_sd=step_sd)
    assert 0.02 < rejected(table) < 0.085  # 300 sweeps: 2.5 standard errors are 0.03
    missing = table.mask(np.random.default_rng(1).random(table.shape) < 0.1)
    assert 0.02 < rejected(missing) < 0.085


@pytest.mark.parametrize(
    ("design", "tasks", "power"), [("all", 3, 0.7), ("random:6", 5, 0.55), ("efficient:24", 4, 0.55)]
)
def test_an_effect_of_the_first_task_is_seen_in_every_design(design, tasks, power):
    """Also where the trees below first tasks have different shapes."""
    table = first_task_effect(make_table(design, tasks), 3)
    assert rejected(table) > power
    assert rejected(first_task_effect(make_table(design, tasks), 10)) > 0.95


def test_effects_below_the_first_task_are_seen():
    last = {"a": [0.0, 0.0, 3.0], "b": [0.0, 0.0, 0.0], "c": [0.0, 0.0, 0.0]}
    assert rejected(make_table("all", 3, position=last)) > 0.7
    deeper = {"a": [0.0, 0.0, 0.0, 3.0]} | dict.fromkeys("bcd", [0.0] * 4)
    assert rejected(make_table("all", 4, 60, position=deeper, step_sd=0.5)) > 0.7


def test_the_strata_are_the_depths_of_the_tree():
    index = pd.MultiIndex.from_product([all_orders(THREE), [1, 2, 3]], names=["order", "seed"])
    strata = find_strata(index)
    assert [(len(stratum.effect), len(stratum.error)) for stratum in strata] == [(2, 4), (3, 6)]
    for stratum in strata:  # no contrast sees a seed, and effects and errors are apart
        seeds = pd.get_dummies(index.get_level_values("seed")).to_numpy(float)
        assert np.abs(np.vstack([stratum.effect, stratum.error]) @ seeds).max() < 1e-12
        assert np.abs(stratum.effect @ stratum.error.T).max() < 1e-12
    covariate = np.array([order.endswith("mnli") for order in index.get_level_values("order")], float)
    assert [len(stratum.effect) for stratum in find_strata(index, covariate)] == [1, 2]
    assert find_strata(index[::3]) == []  # one seed


def test_rotations_of_one_target_give_the_f_test():
    table = make_table("all", 3, 3, order_sd=0.7)
    for target in table:
        joint = joint_test(table[[target]], 4000, np.random.default_rng(0))
        assert joint and joint.p == pytest.approx(order_p_value(table[target]), abs=0.025)
        assert joint.family_wise[target] == joint.p


def joint_rejections(families: Sequence[pd.DataFrame]) -> tuple[float, float]:
    """The shares of sweeps in which the targets together, and at least one target alone, are significant."""
    tests = [joint_test(table, 199, np.random.default_rng(number)) for number, table in enumerate(families)]
    found = [(test.p <= 0.05, min(test.family_wise.values()) <= 0.05) for test in tests if test]
    return float(np.mean([a for a, _ in found])), float(np.mean([b for _, b in found]))


def test_targets_together_and_alone_keep_the_level_when_they_share_noise():
    table = make_table("all", 3, 1200, step_sd=1.0)
    families = []
    for number in range(200):
        own, shared = table.iloc[:, 6 * number : 6 * number + 5], table.iloc[:, 6 * number + 5]
        families.append(own.add(shared, axis=0))
    together, alone = joint_rejections(families)
    assert 0.015 < together < 0.1 and 0.015 < alone < 0.1


def test_effects_that_help_some_targets_and_cost_others_are_seen():
    """In their mean they cancel."""
    table = make_table("all", 3, 9 * 60)
    last = np.array([order.endswith("b") for order in table.index.get_level_values("order")])
    families = []
    for number in range(60):
        family = table.iloc[:, 9 * number : 9 * number + 9].copy()
        family.iloc[:, :3] = family.iloc[:, :3].add(2.0 * last, axis=0)
        family.iloc[:, 3:6] = family.iloc[:, 3:6].sub(2.0 * last, axis=0)
        families.append(family)
    assert joint_rejections(families)[0] > 0.5
    assert rejected(pd.DataFrame({str(i): family.mean(axis=1) for i, family in enumerate(families)})) < 0.15


def test_order_matters_on_a_target_only_if_it_matters():
    """With an effect on one of nine, the sum of -log p alone contradicts the smallest p in a third of sweeps."""
    table = make_table("all", 3, 9 * 60)
    last = np.array([order.endswith("b") for order in table.index.get_level_values("order")])
    together, alone = [], []
    for number in range(60):
        family = table.iloc[:, 9 * number : 9 * number + 9].copy()
        family.iloc[:, 0] += 4.0 * last
        tests = run_tests(family, 199, np.random.default_rng(number), independent=False)
        together.append(tests.together <= 0.05)
        alone.append(min(tests.corrected.values()) <= 0.05)
        assert together[-1] or not alone[-1]
    assert np.mean(alone) > 0.5


def test_a_target_that_lacks_most_runs_does_not_silence_the_others():
    table = first_task_effect(make_table("all", 3, 4), 6)
    whole = run_tests(table.iloc[:, :3], 999, np.random.default_rng(0), independent=False)
    table.iloc[6:, 3] = np.nan
    tests = run_tests(table, 999, np.random.default_rng(0), independent=False)
    assert tests.targets == list(table.columns[:3]) and tests.apart == [table.columns[3]] and tests.runs == 18
    assert tests.together == pytest.approx(2 * whole.together) and whole.together < 0.01
    table.iloc[3:, 3] = np.nan  # the runs of one order
    alone = run_tests(table, 999, np.random.default_rng(0), independent=False)
    assert alone.together == whole.together and math.isnan(alone.corrected[table.columns[3]])


@pytest.mark.parametrize("order_sd", [0.0, 1.5])
def test_intervals_cover_the_standard_deviation_of_order_effects(order_sd):
    table = make_table("all", 3, 400, order_sd=order_sd)
    intervals = [order_sd_interval(table[target]) for target in table]
    covered = [interval["low"] <= order_sd <= interval["high"] for interval in intervals]
    assert 0.92 < np.mean(covered) < 0.99
    assert all(interval["low"] <= interval["sd"] <= interval["high"] for interval in intervals)


def test_an_effect_is_not_called_negligible_because_orders_happen_to_differ_little():
    """However small F is, the upper bound stays near what the noise lets one see."""
    table = make_table("all", 3, 400)
    highs = sorted(order_sd_interval(table[target])["high"] for target in table)
    assert highs[0] > 0.3 and highs[200] / highs[0] < 8


def test_the_verdict_follows_from_the_test_and_the_upper_bound():
    assert decide(0.01, 4.0, 1.0) == "matters" and decide(0.2, 4.0, 1.0) == "undecided"
    assert decide(0.2, 0.8, 1.0) == decide(0.01, 0.8, 1.0) == "negligible"
    assert decide(math.nan, math.nan, 1.0) == decide(0.01, 0.8, 1.0, None) == "undecided"


def test_corrected_p_values_without_a_joint_test():
    assert holm({"a": 0.01, "b": 0.04, "c": math.nan}) == pytest.approx(
        {"a": 0.02, "b": 0.04, "c": math.nan}, nan_ok=True
    )


def test_a_clear_effect_is_significant_in_its_target_only():
    scores, validation = simulate_all_orders(noise_sd=0.3)
    scores.loc[(scores.target == "xquad") & scores.order.str.endswith("squad"), "score"] += 3
    study = order_effects(scores, validation, THREE, KINDS, draws=999)
    tests = study["variance"]["targets"]
    assert tests["xquad"]["p_family_wise"] < 0.01 and tests["xnli"]["p_family_wise"] > 0.05
    assert tests["xquad"]["verdict"] == "matters" and study["variance"]["together"]["verdict"] == "matters"
    assert {tests[target]["verdict"] for target in ("xnli", "udpos", "tatoeba")} <= {"negligible", "undecided"}
    last = study["recency"]["targets"]["xquad"]
    assert 2 < last["difference"] < 4 and last["share"] > 0.9 and last["p_remaining"] > 0.05
    wide = order_effects(scores, validation, THREE, KINDS, draws=99, smallest=50.0)
    assert wide["variance"]["together"]["verdict"] == "negligible"
