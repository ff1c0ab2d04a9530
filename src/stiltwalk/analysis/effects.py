"""The statistics of a sweep: does the order of intermediate tasks matter, for which target, and what in it?"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from stiltwalk.analysis.anova import order_means, variance_components
from stiltwalk.analysis.best_order import choose_best_order
from stiltwalk.analysis.cells import ALL, Cells, read_cells, select_orders, split_order
from stiltwalk.analysis.comparisons import compare_orders
from stiltwalk.analysis.contrasts import position_effects, recency_effects
from stiltwalk.analysis.intervals import t_interval
from stiltwalk.analysis.options import ALPHA, SMALLEST
from stiltwalk.analysis.power import detectable_difference
from stiltwalk.analysis.verdicts import analyse_variance, check_sensitivity
from stiltwalk.utils.files import to_jsonable

# The value of `interval_method` in metrics/order_effects.json.
INTERVALS = "95 %, over seeds; those of positions, comparisons and gains hold for all effects of a target at once"


def order_effects(
    scores: pd.DataFrame,
    validation: pd.DataFrame,
    tasks: Sequence[str],
    kinds: Mapping[str, str],
    draws: int = 9999,
    seed: int = 0,
    *,
    target_kinds: Mapping[str, str] | None = None,
    smallest: float = SMALLEST,
    alpha: float | None = ALPHA,
    independent: bool = False,
) -> dict[str, Any]:
    """Compute all statistics of a sweep's orders, ready for JSON; null marks what cannot be estimated.

    Args:
        scores: columns order (steps joined by commas, "" for the baseline), seed, target, language, score (0 to 100),
            and optionally flag, which says what is wrong with a score.
        validation: English validation scores of the tuned targets; columns order, seed, target, score.
        tasks: the permuted tasks. The proper orders are the permutations of all of them; all others are controls.
        kinds: the kinds of tasks; also those of targets, unless `target_kinds` has them. Without kinds there is no
            recency.
        draws: how many rotations the tests over targets draw.
        seed: of the rotations. The same seed gives the same result, whatever the sequence of rows.
        target_kinds: the kinds of targets, where a task may have the name of a target.
        smallest: the smallest standard deviation of order effects that matters, in points.
        alpha: the significance level of the tests of order; None to test nothing, as in an unfinished sweep.
        independent: whether orders share no checkpoints, so that their runs have no noise in common.

    """
    cells = read_cells(scores, validation, tasks, kinds, target_kinds, independent=independent)
    rng = np.random.default_rng(seed)
    columns = [*cells.targets, ALL]
    components = {target: variance_components(cells.order_scores(target)) for target in columns}
    variance = analyse_variance(cells, components, draws, rng, smallest, alpha)
    flagged = scores[scores["flag"].fillna("") != ""] if "flag" in scores else scores[:0]
    study: dict[str, Any] = to_jsonable(
        {
            "design": _describe_design(cells),
            "interval_method": INTERVALS,
            "orders": _summarise_orders(cells),
            "variance": variance,
            "sensitivity": check_sensitivity(
                cells, pd.MultiIndex.from_frame(flagged[["order", "seed", "target"]]).unique(), variance, draws, rng
            ),
            "comparisons": {target: compare_orders(cells.order_scores(target)) for target in columns},
            "positions": {target: position_effects(cells, target) for target in columns},
            "agreement": _measure_agreement(cells),
            "recency": recency_effects(cells),
            "best": {
                target: choose_best_order(cells, target, components[target].run, draws, rng) for target in columns
            },
            "detectable": {
                target: detectable_difference(cells, target, components[target].run, smallest) for target in columns
            },
        }
    )
    return study


def kendalls_w(means: pd.DataFrame) -> dict[str, Any]:
    """Return Kendall's W of the judges (columns) over the orders (rows), corrected for ties.

    NaN with fewer than 2 judges or 3 orders.
    """
    orders, judges = means.shape
    w = math.nan
    if orders > 2 and judges > 1 and (np.ptp(means.to_numpy().round(9), axis=0) > 0).any():
        chi_square, _ = stats.friedmanchisquare(*means.to_numpy().round(9))
        w = chi_square / (judges * (orders - 1))
    return {"w": w, "orders": orders, "judges": judges}


def _describe_design(cells: Cells) -> dict[str, Any]:
    """List orders, controls, seeds and targets, and which of their combinations have no score."""
    seeds = sorted(set(cells.scores.index.get_level_values("seed")))
    grid = cells.scores[cells.targets].reindex(pd.MultiIndex.from_product([cells.names, seeds]))
    missing = [
        {"order": split_order(order), "seed": seed, "target": target}
        for (order, seed), row in grid.iterrows()
        for target in cells.targets
        if math.isnan(row[target])
    ]
    return {
        "tasks": cells.tasks,
        "orders": [split_order(order) for order in cells.orders],
        "controls": [split_order(order) for order in cells.names if order not in cells.orders],
        "seeds": seeds,
        "targets": cells.targets,
        "runs": len(cells.scores),
        "cells": {"present": grid.size - len(missing), "expected": grid.size},
        "missing": missing,
    }


def _summarise_orders(cells: Cells) -> list[dict[str, Any]]:
    """Return mean, sd over seeds and 95 % t interval of every order and control, by target."""
    return [
        {
            "steps": split_order(order),
            "control": order not in cells.orders,
            "scores": {target: t_interval(column) for target, column in select_orders(cells.scores, [order]).items()},
        }
        for order in cells.names
    ]


def _measure_agreement(cells: Cells) -> dict[str, Any]:
    """Measure how far targets, and the languages of a target, rank the orders alike.

    Kendall's W, and tau of every two targets. Neither comes with a p: the tests assume judges with independent errors,
    but targets tuned from one encoder, or languages predicted by one model, have correlated errors. An effect of a
    seed on all targets also counts as agreement.
    """
    scores = {target: order_means(cells.order_scores(target))[target] for target in cells.targets}
    means = pd.DataFrame(scores).dropna()
    languages = {target: order_means(select_orders(table, cells.orders)) for target, table in cells.languages.items()}
    pairs = []
    for one, other in combinations(means, 2):
        tau = stats.kendalltau(means[one].round(9), means[other].round(9)) if len(means) > 1 else None
        pairs.append({"targets": [one, other], "tau": tau and tau.statistic})
    return {
        "targets": kendalls_w(means),
        "languages": {target: kendalls_w(table.dropna()) for target, table in languages.items()},
        "pairs": pairs,
    }
