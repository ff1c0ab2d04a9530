"""The power of a paired comparison of two orders."""

import numpy as np
import pytest
from scipy import stats

from simulate import THREE, simulate_targets
from stiltwalk.analysis.power import detectable_difference


def test_a_detectable_difference_is_detected_four_times_in_five():
    cells = simulate_targets(THREE, 1)
    detectable = detectable_difference(cells, "t000", 0.49)
    rng = np.random.default_rng(0)
    for seeds, difference in ((3, detectable["difference"]), (detectable["seeds_for_half_a_point"], 0.5)):
        runs = rng.normal(0, 0.7, (2, 20000, seeds)) + np.array([difference, 0])[:, None, None]
        assert np.mean(stats.ttest_rel(*runs, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.012)
