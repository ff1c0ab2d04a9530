"""The statistical power of a comparison of two orders."""

import math
from bisect import bisect_left
from typing import Any

from scipy import stats

from stiltwalk.analysis.cells import Cells
from stiltwalk.analysis.options import ALPHA

POWER, MAX_SEEDS = 0.8, 100_000
CURVE = (0.5, 1, 2, 4)  # multiples of the smallest effect of interest


def detectable_difference(cells: Cells, target: str, run_variance: float, smallest: float) -> dict[str, Any]:
    """Return what a t test of two orders can detect with the error of all runs: 5 %, two-sided, power 80 %.

    `noise_sd` is the sd of one run within its order and seed, estimated from all orders and seeds. `difference` is the
    smallest detectable true difference with the sweep's seeds. `seeds_needed` is the number of seeds with which a
    difference of `smallest` points is detected, with its 95 % interval `seeds_low` to `seeds_high`: the noise itself is
    an estimate. `curve` has the same for other differences. The test is of one pair; a search through all pairs detects
    less. All pairs are averaged: for two orders that share steps,
    and so differ by less noise, the numbers are too large; for two that share none, they are a little too small.
    """
    values = cells.order_scores(target)
    orders, seeds = (values.index.get_level_values(level).nunique() for level in ("order", "seed"))
    df = len(values) - orders - seeds + 1
    result = {
        "noise_sd": math.sqrt(run_variance) if run_variance >= 0 else math.nan,
        "seeds": seeds,
        "smallest": smallest,
        **dict.fromkeys(("difference", "seeds_needed", "seeds_low", "seeds_high")),
        "curve": [],
    }
    if seeds < 2 or df < 1 or not run_variance > 0:
        return result
    low, high = (df * run_variance / stats.chi2.ppf(quantile, df) for quantile in (0.975, 0.025))

    def seeds_needed(points: float) -> dict[str, int | None]:
        variances = {"seeds_needed": run_variance, "seeds_low": low, "seeds_high": high}
        return {name: _count_seeds(points, variance, orders) for name, variance in variances.items()}

    curve = [{"difference": factor * smallest} | seeds_needed(factor * smallest) for factor in CURVE]
    difference = _find_difference(seeds, run_variance, df)
    return result | seeds_needed(smallest) | {"difference": difference, "curve": curve}


def power_of_pair(difference: float, seeds: int, run_variance: float, df: int) -> float:
    """Return the power of a two-sided t test of two orders, whose error has df degrees of freedom."""
    shift, critical = difference / math.sqrt(2 * run_variance / seeds), stats.t.ppf(1 - ALPHA / 2, df)
    power = stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift)
    return 1.0 if math.isnan(power) else float(power)  # SciPy's noncentral t is NaN for very large effects


def _find_difference(seeds: int, run_variance: float, df: int) -> float:
    low, high = 0.0, 100.0 * math.sqrt(run_variance)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if power_of_pair(middle, seeds, run_variance, df) < POWER else (low, middle)
    return high


def _count_seeds(difference: float, run_variance: float, orders: int) -> int | None:
    """Return the fewest seeds with which a difference is detected; None if MAX_SEEDS do not suffice."""

    def is_enough(seeds: int) -> bool:
        return power_of_pair(difference, seeds, run_variance, (orders - 1) * (seeds - 1)) >= POWER

    seeds = 2 + bisect_left(range(2, MAX_SEEDS + 1), True, key=is_enough)
    return seeds if seeds <= MAX_SEEDS else None
