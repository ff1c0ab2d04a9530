"""The order that validation chooses, and its gains."""

import math

import numpy as np
import pytest

from simulate import KINDS, THREE, all_orders, simulate, simulate_all_orders
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


def test_intervals_of_gains_cover_the_truth_although_the_order_was_selected():
    """Test and validation scores share the luck of a run; all orders are equal to the baseline."""
    names = [f"t{number:03}" for number in range(120)]
    rng = np.random.default_rng(3)
    scores, _ = simulate(THREE, [*all_orders(THREE), ""], (1, 2, 3), names, ["en"], seed_sd=1.0, rng=rng)
    noise = rng.normal(0, 0.75, len(scores))  # correlation 0.8 with the test
    validation = scores.drop(columns="language").assign(score=scores["score"] + noise)
    cells = read_cells(scores, validation, THREE, KINDS | dict.fromkeys(names, "pair"))
    gains = [choose_best_order(cells, name, 1.0, 9, rng)["gain_over_baseline"] for name in names]
    assert np.mean([gain["low"] <= 0 <= gain["high"] for gain in gains]) > 0.93
    bias, shrunken = (np.mean([gain[name] for gain in gains]) for name in ("mean", "shrunken"))
    assert bias > 0.5 and abs(shrunken) < bias / 2
