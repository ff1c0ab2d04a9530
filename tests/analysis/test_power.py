"""The statistical power of a comparison of two orders."""

import numpy as np
import pytest
from scipy import stats

from simulate import THREE, simulate_targets
from stiltwalk.analysis.power import detectable_difference


def test_a_detectable_difference_is_detected_four_times_in_five():
    cells = simulate_targets(THREE, 1)
    detectable = detectable_difference(cells, "t000", 0.49, smallest=0.5)
    rng = np.random.default_rng(0)
    for seeds, difference in ((3, detectable["difference"]), (detectable["seeds_needed"], 0.5)):
        runs = rng.normal(0, 0.7, (20000, 6, seeds)) + rng.normal(0, 1, (20000, 1, seeds))
        runs[:, 0] += difference
        centred = runs - runs.mean(axis=1, keepdims=True) - runs.mean(axis=2, keepdims=True)
        df = 5 * (seeds - 1)
        error = ((centred + runs.mean(axis=(1, 2), keepdims=True)) ** 2).sum(axis=(1, 2)) / df
        t = (runs[:, 0] - runs[:, 1]).mean(axis=1) / np.sqrt(2 * error / seeds)
        detected = np.mean(np.abs(t) > stats.t.ppf(0.975, df))
        assert detected == pytest.approx(0.8, abs=0.012) if seeds == 3 else 0.79 < detected < 0.83


def test_the_number_of_seeds_is_an_estimate_with_an_interval():
    detectable = detectable_difference(simulate_targets(THREE, 1), "t000", 0.49, smallest=0.5)
    assert detectable["seeds_low"] < detectable["seeds_needed"] < detectable["seeds_high"]
    without_noise = detectable_difference(simulate_targets(THREE, 1), "t000", 0.0, smallest=0.5)
    assert without_noise["seeds_needed"] is without_noise["difference"] is None
