"""Comparisons of orders with one another, and of their noise."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from simulate import FOUR, THREE, all_orders, simulate_targets
from stiltwalk.analysis.comparisons import compare_orders, dunnett_quantile
from stiltwalk.analysis.noise import compare_noise


def draw(orders: list[str], seeds: int, sd: np.ndarray, rng: np.random.Generator, effect: np.ndarray) -> pd.Series:
    """Scores of orders with their own noise, and a common effect of each seed."""
    index = pd.MultiIndex.from_product([orders, range(seeds)], names=["order", "seed"])
    noise = rng.standard_normal((len(orders), seeds)) * sd[:, None] + rng.standard_normal(seeds)
    return pd.Series((noise + effect[:, None]).ravel(), index)


@pytest.mark.parametrize(("tasks", "targets", "step_sd"), [(THREE, 300, 0.0), (THREE, 300, 1.0), (FOUR, 100, 1.0)])
def test_intervals_of_all_pairs_hold_at_once_when_runs_share_steps(tasks, targets, step_sd):
    cells = simulate_targets(tasks, targets, seed_sd=1, step_sd=step_sd)
    comparisons = [compare_orders(cells.order_scores(target))["pairs"] for target in cells.targets]
    covered = [all(pair["low"] <= 0 <= pair["high"] for pair in pairs) for pairs in comparisons]
    assert 0.88 < np.mean(covered) < 0.99  # of 100 sweeps, two standard errors are 0.045


def test_pairs_are_tukeys_where_no_score_is_missing():
    values = draw(list("abc"), 4, np.ones(3), np.random.default_rng(1), np.array([0.0, 1.0, 3.0]))
    table = values.unstack("seed").to_numpy()
    residuals = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    half = stats.studentized_range.ppf(0.95, 3, 6) * np.sqrt((residuals**2).sum() / 6 / 4)
    pair = compare_orders(values)["pairs"][1]
    assert pair["orders"] == [["a"], ["c"]]
    assert pair["mean"] == pytest.approx(table[0].mean() - table[2].mean())
    assert pair["high"] - pair["mean"] == pytest.approx(half)


def test_the_best_order_is_among_those_that_may_be_the_best():
    """In 95 % of sweeps; an order that is far worse is rarely among them, whatever the differences between seeds."""
    rng, effect = np.random.default_rng(2), np.array([0.0, 0.0, 0.0, 0.0, 0.5, -6.0])
    best = [compare_orders(draw(list("abcdef"), 3, np.ones(6), rng, effect))["may_be_best"] for _ in range(400)]
    assert np.mean([["e"] in names for names in best]) > 0.93
    assert np.mean([["f"] in names for names in best]) < 0.05
    assert compare_orders(draw(["a"], 3, np.ones(1), rng, np.zeros(1))) == {"pairs": [], "may_be_best": []}


def test_dunnetts_quantiles_are_those_of_his_tables():
    """Dunnett 1964, two-sided, and 1955, one-sided: 5 comparisons, 10 degrees of freedom."""
    assert dunnett_quantile(5, 10) == pytest.approx(3.02, abs=0.06)
    assert dunnett_quantile(5, 10, one_sided=True) == pytest.approx(2.53, abs=0.05)


def test_a_noisy_order_is_found_and_equal_noise_rarely_called_unequal():
    rng = np.random.default_rng(3)
    equal = [compare_noise(draw(all_orders(THREE), 3, np.ones(6), rng, np.zeros(6)))["p"] for _ in range(300)]
    assert 0.02 < np.mean(np.array(equal) <= 0.05) < 0.09
    noise = compare_noise(draw(list("abcdef"), 5, np.array([1, 1, 8, 1, 1, 1.0]), rng, np.zeros(6)))
    assert noise["order"] == ["c"] and noise["ratio"] > 3 and noise["p"] < 0.01
    assert np.isnan(compare_noise(draw(list("abc"), 1, np.ones(3), rng, np.zeros(3)))["p"])
