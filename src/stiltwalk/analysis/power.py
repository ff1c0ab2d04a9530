"""The statistical power of a paired comparison of two orders."""

import math
from bisect import bisect_left
from typing import Any

from scipy import stats
from statsmodels.stats.power import TTestPower

from stiltwalk.analysis.cells import Cells
from stiltwalk.analysis.order_test import ALPHA

POWER, POINTS = 0.8, 0.5


def detectable_difference(cells: Cells, target: str, run_variance: float) -> dict[str, Any]:
    """Return what a paired t test of two orders can detect with the sweep's seeds: 5 %, two-sided, power 80 %.

    `noise_sd` is the sd of one run within its order and seed; the difference of two runs has sqrt(2) times as much.
    `difference` is the smallest detectable true difference, `seeds_for_half_a_point` the seeds that 0.5 points take.
    Runs that share steps differ by less; for them, both numbers are too large.
    """
    seeds = cells.order_scores(target).index.get_level_values("seed").nunique()
    sd = math.sqrt(2 * run_variance) if run_variance > 0 else math.nan
    is_known = seeds > 1 and sd > 0
    difference = TTestPower().solve_power(nobs=seeds, alpha=ALPHA, power=POWER) * sd if is_known else math.nan
    return {
        "noise_sd": math.sqrt(run_variance) if run_variance >= 0 else math.nan,
        "seeds": seeds,
        "difference": difference,
        "seeds_for_half_a_point": _count_seeds(POINTS / sd) if is_known else None,
    }


def _count_seeds(effect: float) -> int:
    """Return the fewest seeds with which a paired t test detects an effect, given in sd of the difference."""
    enough = math.ceil(((stats.norm.ppf(1 - ALPHA / 2) + stats.norm.ppf(POWER)) / effect) ** 2) + 10
    # For very large effects, SciPy's noncentral t is NaN; `not ... < POWER` counts NaN as enough power.
    return 2 + bisect_left(range(2, enough), True, key=lambda n: not TTestPower().power(effect, n, ALPHA) < POWER)
