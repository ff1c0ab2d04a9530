"""The order that English validation chooses, and what it gains on the test."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from stiltwalk.analysis.anova import order_means
from stiltwalk.analysis.cells import Cells, select_orders, split_order
from stiltwalk.analysis.comparisons import dunnett_quantile
from stiltwalk.analysis.intervals import t_interval


def choose_best_order(
    cells: Cells, target: str, run_variance: float, draws: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Choose an order on validation, and give its test score and its gains over controls.

    The controls are no intermediate training, the best single task, and all tasks in one step. Order and single task
    are chosen by the mean over seeds of the target's validation score or, for an untuned target, of the mean over all
    tuned targets (`chosen_on`).

    Validation and test scores are of the same runs, so a run's luck favours the chosen order in both. Three numbers
    allow for this. `held_out_seed` chooses on the other seeds, for each seed. The intervals of gains hold for all
    orders at once (Dunnett), so also for the chosen one. `shrunken` pulls the gain towards that of the mean order,
    by the share of the differences between orders that noise explains (James and Stein). `range` is the best minus
    the worst order on the test, which selection alone makes positive: `by_chance` is its expectation if all orders
    were equal.
    """
    criterion_targets = [target] if target in cells.validation else list(cells.validation)
    criterion = cells.validation[criterion_targets].mean(axis=1, skipna=False)
    test = cells.scores[target]
    order, single = _highest_mean(criterion, cells.orders), _highest_mean(criterion, cells.singles)
    chosen = [order] if order is not None else []
    return {
        "chosen_on": criterion_targets,
        "candidates": select_orders(criterion, cells.orders).dropna().index.get_level_values("order").nunique(),
        "order": split_order(order) if order is not None else None,
        "validation": select_orders(criterion, chosen).mean(),
        "test": t_interval(select_orders(test, chosen)),
        "gain_over_baseline": _simultaneous_gain(cells, test, order, ""),
        "single": single,
        "gain_over_single": _simultaneous_gain(cells, test, order, single),
        "gain_over_joint": _simultaneous_gain(cells, test, order, cells.joint),
        "held_out_seed": _held_out_gains(cells, criterion, test),
        "range": _range_of_orders(cells.order_scores(target), run_variance, draws, rng),
    }


def _highest_mean(criterion: pd.Series, candidates: Sequence[str]) -> str | None:
    """Return the candidate with the highest mean, adjusted for missing seeds; None if no candidate has a mean."""
    means = order_means(select_orders(criterion, candidates).dropna().rename("score"))["score"].dropna()
    return None if means.empty else str(means.round(9).idxmax())


def _paired_gain(test: pd.Series, order: str | None, control: str | None) -> pd.Series:
    """Return the order's score minus the control's, for the seeds that both have."""
    table = test.unstack("seed")
    if order not in table.index or control not in table.index:
        return pd.Series(dtype=float)
    return (table.loc[order] - table.loc[control]).dropna()


def _simultaneous_gain(cells: Cells, test: pd.Series, order: str | None, control: str | None) -> dict[str, Any]:
    """Return the mean gain of an order over a control, paired by seed, its n and bounds, and the `shrunken` gain.

    The bounds are those of Dunnett's intervals for the gains of all orders, with the error of all orders and the
    control; NaN without degrees of freedom.
    """
    gain = _paired_gain(test, order, control)
    result = {"mean": gain.mean(), "n": len(gain), "low": math.nan, "high": math.nan, "shrunken": math.nan}
    names = [*cells.orders, control]
    table = test.unstack("seed").reindex(names)
    table = table[gain.index].dropna() if len(gain) else table[[]]  # first the seeds of the gain, then whole rows
    others = [name for name in table.index if name != control]
    seeds = table.shape[1]
    if order not in others or control not in table.index or seeds < 2 or len(others) < 2:
        return result
    y = table.to_numpy(float)
    residuals = y - y.mean(axis=0) - y.mean(axis=1, keepdims=True) + y.mean()
    df = (len(y) - 1) * (seeds - 1)
    error = float((residuals**2).sum()) / df
    half = dunnett_quantile(len(others), df) * math.sqrt(2 * error / seeds)
    gains = table.loc[others].mean(axis=1) - table.loc[control].mean()
    between = float(gains.var(ddof=1)) - error / seeds
    share = max(between, 0.0) / (max(between, 0.0) + error / seeds) if error > 0 else 1.0
    shrunken = gains.mean() + share * (gains[order] - gains.mean())
    mean = float(gains[order])
    return result | {"mean": mean, "n": seeds, "low": mean - half, "high": mean + half, "shrunken": shrunken}


def _held_out_gains(cells: Cells, criterion: pd.Series, test: pd.Series) -> dict[str, Any]:
    """Return the mean gains over seeds, each with the order chosen on the other seeds.

    There is no interval, because the choices share seeds and are not independent.
    """
    gains: dict[str, list[float]] = {"gain_over_baseline": [], "gain_over_single": []}
    seeds = test.index.get_level_values("seed")
    for seed in sorted(set(seeds)):
        other_seeds = criterion[criterion.index.get_level_values("seed") != seed]
        order, single = _highest_mean(other_seeds, cells.orders), _highest_mean(other_seeds, cells.singles)
        gains["gain_over_baseline"].extend(_paired_gain(test[seeds == seed], order, ""))
        gains["gain_over_single"].extend(_paired_gain(test[seeds == seed], order, single))
    return {
        name: {"mean": float(np.mean(values)) if values else math.nan, "n": len(values)}
        for name, values in gains.items()
    }


def _range_of_orders(values: pd.Series, run_variance: float, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return the best and the worst order on the test, and the range that noise alone is expected to give."""
    means = order_means(values.rename("score"))["score"].dropna().round(9)
    if len(means) < 2:
        return {"best": None, "worst": None, "difference": math.nan, "by_chance": math.nan, "optimistic": True}
    noise = max(run_variance, 0.0)  # rounding may give -1e-12; `max` keeps a NaN that comes first
    expected_range = np.ptp(rng.standard_normal((draws, len(means))), axis=1).mean()  # in standard deviations
    return {
        "best": split_order(str(means.idxmax())),
        "worst": split_order(str(means.idxmin())),
        "difference": means.max() - means.min(),
        "by_chance": expected_range * math.sqrt(noise * len(means) / len(values)),
        "optimistic": True,
    }
