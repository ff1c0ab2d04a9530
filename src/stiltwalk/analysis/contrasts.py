"""Which part of an order has an effect: a task's position, its neighbour, or the kind of the task that comes last."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import block_diag, null_space

from stiltwalk.analysis.anova import indicator_columns, orthonormal_basis
from stiltwalk.analysis.cells import Cells, split_order
from stiltwalk.analysis.intervals import t_interval
from stiltwalk.analysis.order_test import order_p_value

PLACES = ("first", "middle", "last")
DRAWS = 4000  # of noise, for the critical value of simultaneous intervals


@dataclass(frozen=True)
class PositionModel:
    """The least-squares fit of positions and ordered pairs that a design of orders supports."""

    columns: np.ndarray
    """(orders, coefficients), without the mean."""
    estimands: np.ndarray
    """(estimands, coefficients): first, middle and last of every task, then every ordered pair if there are any."""
    middle_alike: bool
    """Whether all positions between the first and the last are taken to have the same effect."""
    carry_over: bool
    """Whether the orders tell carry-over from position. If not, effects of position contain both."""


@dataclass(frozen=True)
class Estimability:
    """Which effects a design of orders can estimate."""

    positions: int
    """Tasks for which the effects of being first and last are estimable."""
    pairs: int
    """Ordered pairs whose carry-over is estimable."""
    middle_alike: bool
    """Whether that takes all positions between the first and the last to have the same effect."""


def position_effects(cells: Cells, target: str) -> dict[str, Any]:
    """Estimate the effects of a task's position and of each ordered pair of neighbours on a target.

    Each seed is fitted by least squares. The coding is sum-to-zero (first-order carry-over as in cross-over designs,
    Jones & Kenward 2014, ch. 4). An effect of position is the deviation from the task's mean over positions. The first
    task follows no other and the last task precedes no other, so positions determine the sum of each task's pair
    effects, as predecessor and as successor. A pair's effect is what it adds beyond both positions.

    The model is the richest that the orders support, see `choose_model`. Effects that they do not determine are NaN.

    The 95 % intervals are over seeds (summary measures, Senn et al. 2000). They stay valid if runs of one seed are
    correlated, for example by shared checkpoints; see `pool_over_seeds`. They hold for all effects of the target at
    once: the critical value is the 95 % quantile of the largest |t| of all effects, simulated without any effect.
    `low_alone` and `high_alone` are the ends of an effect's own t interval, with its own variance over seeds.
    """
    values, tasks = cells.order_scores(target), cells.tasks
    observed = [cells.orders.index(order) for order in sorted(set(values.index.get_level_values("order")))]
    model = choose_model(cells.orders, tasks, observed)
    weights = weights_by_seed(values.index, cells.orders, model)
    estimates = np.array([weight @ values.to_numpy(float) for weight in weights])
    effects = pool_over_seeds(estimates.reshape(-1, len(model.estimands)), len(tasks), weights)
    by_place, by_pair = effects[: len(PLACES) * len(tasks)], effects[len(PLACES) * len(tasks) :]
    pairs = map(">".join, permutations(tasks, 2)) if model.carry_over else []
    return {
        "model": {"middle_alike": model.middle_alike, "carry_over": model.carry_over},
        "tasks": {
            task: {place: by_place[p * len(tasks) + t] for p, place in enumerate(PLACES)}
            for t, task in enumerate(tasks)
        },
        "carry_over": dict(zip(pairs, by_pair, strict=True)),
    }


def choose_model(orders: Sequence[str], tasks: Sequence[str], observed: Sequence[int]) -> PositionModel:
    """Choose the richest model that the observed orders (indices into `orders`) support.

    1. An effect of every task at every position, and of every ordered pair.
    2. The same, with all positions between the first and the last alike.
    3. Positions alone, those in the middle alike. With three tasks, carry-over is left out even if all orders are
       there: they differ by position and in one contrast more, which no pair can claim.
    """
    n = len(tasks)
    ends, ends_estimands = _code_ends(orders, tasks), _end_estimands(n)
    if n > 3:
        pairs = list(permutations(tasks, 2))
        either_task = np.array([[pair[side] == task for pair in pairs] for side in (0, 1) for task in tasks], float)
        beyond_positions = null_space(either_task)
        neighbours = _code_neighbours(orders, pairs) @ beyond_positions
        for middle_alike in (False, True):
            places, estimands = (
                (ends, ends_estimands) if middle_alike else (_code_places(orders, tasks), _place_estimands(n))
            )
            columns = np.hstack([places, neighbours])
            design = _add_mean(columns[observed])
            if np.linalg.matrix_rank(design) == design.shape[1]:
                return PositionModel(columns, block_diag(estimands, beyond_positions), middle_alike, True)
    return PositionModel(ends, ends_estimands, n > 3, False)


def assess_estimability(orders: Sequence[str], tasks: Sequence[str]) -> Estimability:
    """Say which effects of position and carry-over a design of orders can estimate, before anything runs."""
    model = choose_model(orders, tasks, range(len(orders)))
    estimable = _estimator_weights(model.columns, model.estimands)[1]
    by_place, by_pair = np.split(estimable, [len(PLACES) * len(tasks)])
    first, _, last = np.split(by_place, len(PLACES))
    return Estimability(int((first & last).sum()), int(by_pair.sum()), model.middle_alike)


def weights_by_seed(index: pd.MultiIndex, orders: Sequence[str], model: PositionModel) -> list[np.ndarray]:
    """Return, for each seed, the weights by which the runs (order, seed) estimate the effects, (estimands, runs).

    The weights of an effect that the orders of a seed do not determine are NaN.
    """
    rows = np.array([orders.index(order) for order in index.get_level_values("order")], int)
    seeds = index.get_level_values("seed").to_numpy()
    result = []
    for seed in sorted(set(seeds)):
        own = seeds == seed
        weights, estimable = _estimator_weights(model.columns[rows[own]], model.estimands)
        of_runs = np.zeros((len(model.estimands), len(rows)))
        of_runs[:, own] = np.where(estimable[:, None], weights, np.nan)
        of_runs[~estimable] = np.nan
        result.append(of_runs)
    return result


def pool_over_seeds(estimates: np.ndarray, tasks: int, weights: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """Average effects over seeds, (seeds, effects), each with its simultaneous 95 % interval.

    The variance over seeds is pooled over like effects (those of one place, or all pairs), because no task is special
    before the data are seen. The error is the seed x effect interaction, as in a split plot. This makes the intervals
    useful at three seeds, where a single effect has two degrees of freedom.
    """
    means, errors, counts = _pooled_errors(estimates[None], tasks)
    stacked = np.array(weights)
    critical = _critical_value(stacked.tobytes(), stacked.shape, tasks) if len(weights) > 1 else np.nan
    effects = []
    for number, (mean, error, n) in enumerate(zip(means[0], errors[0], counts, strict=True)):
        alone = t_interval(estimates[:, number])
        effects.append(
            {"effect": mean, "n": int(n), "low": mean - critical * error, "high": mean + critical * error}
            | {"low_alone": alone["low"], "high_alone": alone["high"]}
        )
    return effects


@functools.lru_cache(maxsize=64)
def _critical_value(weights: bytes, shape: tuple[int, ...], tasks: int) -> float:
    """Return the 95 % quantile of the largest |t| of all effects, in runs of independent noise and without any effect.

    weights: of `weights_by_seed`, as bytes for the cache: most targets have the same runs.
    """
    by_seed = np.frombuffer(weights).reshape(shape)
    noise = np.random.default_rng(0).standard_normal((DRAWS, shape[-1]))
    drawn = np.stack([noise @ of_seed.T for of_seed in by_seed], axis=1)  # (draws, seeds, effects)
    means, errors, _ = _pooled_errors(drawn, tasks)
    with np.errstate(invalid="ignore", divide="ignore"):
        largest = pd.DataFrame(np.abs(means) / errors).max(axis=1).dropna()
    return float(largest.quantile(0.95))


def _pooled_errors(estimates: np.ndarray, tasks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means and standard errors over seeds, and how many seeds have an estimate.

    estimates: (draws, seeds, effects), with the same effects missing in all draws. Errors are NaN with one seed.
    """
    known = ~np.isnan(estimates[0])
    counts = known.sum(axis=0)
    filled = np.nan_to_num(estimates)
    means = np.where(counts > 0, filled.sum(axis=1) / np.maximum(counts, 1), np.nan)
    squares = (np.where(known, filled - np.nan_to_num(means)[:, None], 0.0) ** 2).sum(axis=1)
    errors = np.full_like(means, np.nan)
    starts = [place * tasks for place in range(len(PLACES) + 1)]
    for group in (*map(slice, starts[:-1], starts[1:]), slice(starts[-1], None)):
        df = (counts[group] - 1).clip(0).sum()
        if df:
            variance = squares[:, group].sum(axis=1, keepdims=True) / df
            errors[:, group] = np.where(counts[group] > 1, np.sqrt(variance / np.maximum(counts[group], 1)), np.nan)
    return means, errors, counts


def recency_effects(cells: Cells) -> dict[str, Any]:
    """Measure whether the order effect is due to the last task being of the target's kind.

    By target: `difference` is the mean score of the orders that end with a task of that kind minus that of the others.
    It has no interval of its own, because it is a multiple of the effects of those tasks in last position. `share` is
    the share of the between-order sum of squares that it explains, and `share_by_chance` what noise alone would
    explain. `p_remaining` is the p of the order effect beyond it. `over_targets` is the mean difference with a plain t
    interval over seeds, because the errors of targets tuned from one encoder are correlated.
    """
    targets, differences = {}, {}
    last = {split_order(order)[-1] for order in cells.orders}
    for target in cells.targets:
        kind = cells.target_kinds.get(target, "")
        same_kind = [task for task in cells.tasks if task in last and kind and cells.kinds.get(task) == kind]
        if 0 < len(same_kind) < len(cells.tasks):
            targets[target], differences[target] = _target_recency(cells, target, same_kind)
    table = pd.DataFrame(differences, dtype=float)
    return {"targets": targets, "over_targets": t_interval(table.mean(axis=1, skipna=False).to_numpy())}


def _target_recency(cells: Cells, target: str, same_kind: list[str]) -> tuple[dict[str, Any], pd.Series]:
    """Return the recency entry of one target and its difference by seed.

    A seed counts only if, for every task that is ever last, it has a run that ends with it.
    """
    values = cells.order_scores(target)
    last = [split_order(order)[-1] for order in values.index.get_level_values("order")]
    table = values.groupby([values.index.get_level_values("seed"), pd.Index(last)]).mean().unstack().dropna()
    last_tasks = [task for task in same_kind if task in table], [task for task in table if task not in same_kind]
    difference = table[last_tasks[0]].mean(axis=1) - table[last_tasks[1]].mean(axis=1)
    covariate = np.isin(last, same_kind).astype(float)
    has_both_kinds = all(last_tasks)
    share, by_chance = _explained_share(values, covariate) if has_both_kinds else (np.nan, np.nan)
    entry = {
        "own_kind": same_kind,
        "difference": difference.mean(),
        "n": len(table),
        "share": share,
        "share_by_chance": by_chance,
        "p_remaining": order_p_value(values, covariate, independent=cells.independent) if has_both_kinds else np.nan,
    }
    return entry, difference


def _explained_share(values: pd.Series, covariate: np.ndarray) -> tuple[float, float]:
    """Return the covariate's share of the sum of squares of order given seed, and the share of a random contrast."""
    order, seed = (indicator_columns(values.index, level) for level in ("order", "seed"))
    y = values.to_numpy(float) - values.mean()
    by_seed, by_covariate, by_order = (
        orthonormal_basis(seed),
        orthonormal_basis(seed, covariate[:, None]),
        orthonormal_basis(order, seed),
    )
    base, partial, total = (((basis.T @ y) ** 2).sum() for basis in (by_seed, by_covariate, by_order))
    df = by_order.shape[1] - by_seed.shape[1]
    return ((partial - base) / (total - base), 1 / df) if total - base > 1e-9 else (np.nan, np.nan)


def _add_mean(columns: np.ndarray) -> np.ndarray:
    return np.hstack([np.ones((len(columns), 1)), columns])


def _estimator_weights(columns: np.ndarray, estimands: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights by which scores estimate each estimand, and whether the columns determine it."""
    design = _add_mean(columns)
    estimands = np.pad(estimands, ((0, 0), (1, 0)))  # the mean is in no estimand
    weights = estimands @ np.linalg.pinv(design)
    return weights, np.isclose(weights @ design, estimands).all(axis=1)


def _code_ends(orders: Sequence[str], tasks: Sequence[str]) -> np.ndarray:
    """Code the first and the last task of each order as deviations, (orders, 2 x (tasks - 1))."""
    coding = _deviation_coding(len(tasks))
    rows = [np.concatenate([coding[tasks.index(split_order(order)[i])] for i in (0, -1)]) for order in orders]
    return np.array(rows, float).reshape(len(orders), 2 * coding.shape[1])


def _code_neighbours(orders: Sequence[str], pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Mark the ordered pairs that are neighbours in each order, (orders, pairs) of 0 and 1."""
    rows = [[pair in set(pairwise(split_order(order))) for pair in pairs] for order in orders]
    return np.array(rows, float).reshape(len(orders), len(pairs))


def _code_places(orders: Sequence[str], tasks: Sequence[str]) -> np.ndarray:
    """Code every task at every position, (orders, (tasks - 1)^2): effects sum to zero over tasks and over positions."""
    n = len(tasks)
    coding = _place_coding(n)
    numbers = np.array([[tasks.index(task) for task in split_order(order)] for order in orders]).reshape(-1, n)
    columns: np.ndarray = coding[numbers * n + np.arange(n)].sum(axis=1)
    return columns


def _place_estimands(n: int) -> np.ndarray:
    """Return first, middle and last of each task as functions of the coefficients of `_code_places`."""
    by_task = _place_coding(n).reshape(n, n, -1)
    return np.vstack([by_task[:, 0], by_task[:, 1:-1].mean(axis=1), by_task[:, -1]])


def _place_coding(n: int) -> np.ndarray:
    """Return the coding of a task at a position, (tasks x positions, (tasks - 1)^2)."""
    coding = _deviation_coding(n)
    return np.kron(coding, coding)


def _end_estimands(n: int) -> np.ndarray:
    """Return first, middle and last of each task as functions of the coefficients of `_code_ends`.

    They are deviations from the task's mean over positions, (3 x tasks, 2 x (tasks - 1)); middle is NaN with two tasks.
    """
    first, last = np.kron(np.eye(2), _deviation_coding(n)).reshape(2, n, -1)
    mean = (first + last) / n
    return np.vstack([first - mean, -mean if n > 2 else mean * np.nan, last - mean])


def _deviation_coding(levels: int) -> np.ndarray:
    """Return sum-to-zero coding, (levels, levels - 1)."""
    return np.vstack([np.eye(levels - 1), -np.ones(levels - 1)])
