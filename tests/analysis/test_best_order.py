"""The order that validation chooses, and its gains."""

import math

import numpy as np
import pytest

from simulate import KINDS, THREE, all_orders, simulate_all_orders
from stiltwalk.analysis.best_order import choose_best_order
from stiltwalk.analysis.cells import read_cells
from stiltwalk.analysis.effects import order_effects


def test_the_best_order_is_chosen_on_validation():
    scores, validation = simulate_all_orders(controls=["", "mnli", "squad"], noise_sd=0.1)
    chosen, luckier = all_orders(THREE)[:2]
    validation.loc[(validation.order == chosen) & (validation.target == "xnli"), "score"] += 5
    validation.loc[(validation.order == "squad") & (validation.target == "xnli"), "score"] += 5
    scores.loc[scores.order == luckier, "score"] += 5
    scores.loc[scores.order == chosen, "score"] += 2
    best = order_effects(scores, validation, THREE, KINDS, draws=99)["best"]
    assert best["xnli"]["order"] == chosen.split(",") and best["xnli"]["single"] == "squad"
    for gain in ("gain_over_baseline", "gain_over_single"):
        assert best["xnli"][gain]["mean"] == pytest.approx(2, abs=0.3)
        assert best["xnli"]["held_out_seed"][gain]["mean"] == best["xnli"][gain]["mean"]
    assert best["xnli"]["range"]["best"] == luckier.split(",") and best["xnli"]["range"]["difference"] > 4.5
    assert best["tatoeba"]["chosen_on"] == ["udpos", "xnli", "xquad"] and best["tatoeba"]["order"] == chosen.split(",")


@pytest.mark.parametrize(("run_variance", "expected"), [(-1e-12, 0.0), (0.0, 0.0), (math.nan, math.nan)])
def test_scores_without_residual_noise_have_no_range_by_chance(run_variance, expected):
    """If the scores are exactly order plus seed, rounding can make the variance of a run negative."""
    cells = read_cells(*simulate_all_orders(noise_sd=0.0), THREE, KINDS)
    best = choose_best_order(cells, "xnli", run_variance, 99, np.random.default_rng(0))
    assert best["range"]["by_chance"] == pytest.approx(expected, abs=0, nan_ok=True)
