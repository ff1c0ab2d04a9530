"""Comparisons of orders with one another: all pairs, and each order with the best of the others.

The errors are those of the analysis of variance with factors order and seed, so that differences between seeds, which
all orders share, do not count as noise. scipy.stats.tukey_hsd and scipy.stats.dunnett know no such blocks. In
simulated sweeps of 3 and 4 tasks whose orders share checkpoints, the intervals of all pairs hold at once in 92 to 96 %.
"""

import functools
import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from stiltwalk.analysis.anova import indicator_columns
from stiltwalk.analysis.cells import split_order

DRAWS = 20_000  # of noise, for the quantile of Dunnett's comparisons


@dataclass(frozen=True)
class OrderMeans:
    """Least-squares means of the orders, adjusted for the seeds that an order lacks."""

    orders: list[str]
    means: np.ndarray
    covariance: np.ndarray
    """Of the means, in units of the variance of a run, (orders, orders)."""
    variance: float
    """Of a run, within its order and seed."""
    df: int
    """Degrees of freedom of the variance."""

    def error(self, one: int, other: int) -> float:
        """Return the standard error of the difference between two orders."""
        c = self.covariance
        return math.sqrt(max(self.variance * (c[one, one] + c[other, other] - 2 * c[one, other]), 0.0))


def estimate_means(values: pd.Series) -> OrderMeans | None:
    """Return the means of the orders with their errors; None without degrees of freedom or a common scale.

    values: scores by (order, seed), without missing ones.
    """
    orders = sorted(set(values.index.get_level_values("order")))
    if len(orders) < 2:
        return None
    design = np.hstack([indicator_columns(values.index, level) for level in ("order", "seed")])
    rank = int(np.linalg.matrix_rank(design))
    df = len(values) - rank
    if df < 1 or rank < design.shape[1] - 1:
        return None
    solution = np.linalg.pinv(design)
    weights = solution[: len(orders)] + solution[len(orders) :].mean(axis=0)
    y = values.to_numpy(float)
    residuals = y - design @ (solution @ y)
    return OrderMeans(orders, weights @ y, weights @ weights.T, float(residuals @ residuals) / df, df)


def compare_orders(values: pd.Series) -> dict[str, Any]:
    """Compare every two orders, and each with the best of the others, with 95 % intervals that hold for all at once.

    `pairs` are the differences between two orders in points, with Tukey's intervals (Tukey-Kramer where scores are
    missing). `may_be_best` are the orders of which Hsu's comparisons with the best (Hsu 1996, Multiple Comparisons,
    ch. 4) do not show that another order is better. Both are empty without degrees of freedom.
    """
    fit = estimate_means(values)
    if fit is None:
        return {"pairs": [], "may_be_best": []}
    factor = _tukey_quantile(len(fit.orders), fit.df)
    pairs = []
    for one, other in combinations(range(len(fit.orders)), 2):
        difference, half = fit.means[one] - fit.means[other], factor * fit.error(one, other)
        names = [split_order(fit.orders[number]) for number in (one, other)]
        pairs.append({"orders": names, "mean": difference, "low": difference - half, "high": difference + half})
    return {"pairs": pairs, "may_be_best": [split_order(order) for order in _may_be_best(fit)]}


def _may_be_best(fit: OrderMeans) -> list[str]:
    """Return the orders that are not shown to be worse than another one."""
    quantile = dunnett_quantile(len(fit.orders) - 1, fit.df, one_sided=True)
    numbers = range(len(fit.orders))
    return [
        fit.orders[one]
        for one in numbers
        if all(
            fit.means[other] - fit.means[one] <= quantile * fit.error(one, other) for other in numbers if other != one
        )
    ]


@functools.lru_cache(maxsize=64)
def _tukey_quantile(orders: int, df: int) -> float:
    """Return the 95 % quantile of the largest |t| of all pairs of so many orders."""
    return float(stats.studentized_range.ppf(0.95, orders, df) / math.sqrt(2))


@functools.lru_cache(maxsize=64)
def dunnett_quantile(comparisons: int, df: int, *, one_sided: bool = False) -> float:
    """Return the 95 % quantile of the largest t (|t| unless one-sided) of so many comparisons with one control.

    By simulation, with a fixed seed: the quantile of scipy.stats.dunnett is not public.
    """
    rng = np.random.default_rng(0)
    control, others = rng.standard_normal((DRAWS, 1)), rng.standard_normal((DRAWS, comparisons))
    t = (others - control) / math.sqrt(2)
    largest = (t if one_sided else np.abs(t)).max(axis=1) / np.sqrt(rng.chisquare(df, DRAWS) / df)
    return float(np.quantile(largest, 0.95))
