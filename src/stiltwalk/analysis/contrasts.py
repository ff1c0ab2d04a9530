"""Which part of an order has an effect: a task's position, its neighbour, or the task that comes last."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import block_diag, null_space

from stiltwalk.analysis.anova import indicator_columns, orthonormal_basis
from stiltwalk.analysis.cells import Cells, split_order
from stiltwalk.analysis.intervals import t_bounds, t_interval
from stiltwalk.analysis.order_test import order_p_value

PLACES = ("first", "middle", "last")
# Values of `positions.<target>.model` in metrics/order_effects.json.
JOINT = "joint: a pair's effect is what it adds beyond the positions of both tasks"
SEPARATE = "separate: the orders do not tell carry-over from position, so each is fitted as if it were alone"


@dataclass(frozen=True)
class Regression:
    """A least-squares fit: its regressors, and the estimands as linear functions of their coefficients."""

    columns: np.ndarray
    """(orders, coefficients), without the mean."""
    estimands: np.ndarray
    """(estimands, coefficients)."""


@dataclass(frozen=True)
class PositionModel:
    """How positions and ordered pairs are fitted.

    The estimands of all fits are, in sequence: first, middle and last of every task, then every ordered pair.
    """

    joint: bool
    """Whether positions and pairs are in one fit."""
    fits: list[Regression]


@dataclass(frozen=True)
class Estimability:
    """Which effects a design of orders can estimate."""

    positions: int
    """Tasks for which the effects of being first and last are estimable."""
    pairs: int
    """Ordered pairs whose carry-over is estimable."""
    joint: bool
    """Whether carry-over and position are separable."""


def position_effects(cells: Cells, target: str) -> dict[str, Any]:
    """Estimate the effects of a task's position and of each ordered pair of neighbours on a target.

    Each seed is fitted by least squares on the first and the last task; all positions between count as one. The coding
    is sum-to-zero (first-order carry-over as in cross-over designs, Jones & Kenward 2014, ch. 4). An effect of position
    is the deviation from the task's mean over positions.

    The first task follows no other and the last task precedes no other, so positions determine the sum of each task's
    pair effects, as predecessor and as successor. In the joint model, a pair's effect is what it adds beyond both
    positions. If the orders cannot support the joint model with a degree of freedom to spare (three tasks never can),
    positions and pairs are fitted separately, and effects of one show up in the other. Effects that the orders do not
    determine are NaN.

    The 95 % intervals are over seeds (summary measures, Senn et al. 2000). They stay valid if runs of one seed are
    correlated, for example by shared checkpoints; see `pool_over_seeds`.
    """
    values, tasks = cells.order_scores(target), cells.tasks
    observed = [cells.orders.index(order) for order in sorted(set(values.index.get_level_values("order")))]
    model = choose_model(cells.orders, tasks, observed)
    estimates = np.hstack([estimate_by_seed(values, cells.orders, fit) for fit in model.fits])
    by_place, by_pair = np.split(estimates, [len(PLACES) * len(tasks)], axis=1)
    dimensions = len(tasks) - 1
    places = {
        place: pool_over_seeds(part, dimensions)
        for place, part in zip(PLACES, np.split(by_place, len(PLACES), 1), strict=True)
    }
    pairs = map(">".join, permutations(tasks, 2))
    return {
        "model": JOINT if model.joint else SEPARATE,
        "tasks": {task: {place: places[place][t] for place in PLACES} for t, task in enumerate(tasks)},
        "carry_over": dict(zip(pairs, pool_over_seeds(by_pair, dimensions), strict=True)),
    }


def choose_model(orders: Sequence[str], tasks: Sequence[str], observed: Sequence[int]) -> PositionModel:
    """Fit positions and pairs jointly if the observed orders (indices into `orders`) allow it, otherwise separately."""
    pairs = list(permutations(tasks, 2))
    place_columns, pair_columns = _code_ends(orders, tasks), _code_neighbours(orders, pairs)
    either_task = np.array([[pair[side] == task for pair in pairs] for side in (0, 1) for task in tasks], float)
    beyond_positions = null_space(either_task)
    joint_columns = np.hstack([place_columns, pair_columns @ beyond_positions])
    design = _add_mean(joint_columns[observed])
    if beyond_positions.shape[1] > 0 and np.linalg.matrix_rank(design) == design.shape[1] < len(observed):
        return PositionModel(True, [Regression(joint_columns, block_diag(_place_estimands(tasks), beyond_positions))])
    centred = null_space(np.ones((1, len(pairs))))
    separate = [Regression(place_columns, _place_estimands(tasks)), Regression(pair_columns @ centred, centred)]
    return PositionModel(False, separate)


def assess_estimability(orders: Sequence[str], tasks: Sequence[str]) -> Estimability:
    """Say which effects of position and carry-over a design of orders can estimate, before anything runs."""
    model = choose_model(orders, tasks, range(len(orders)))
    estimable = np.concatenate([_estimator_weights(fit.columns, fit.estimands)[1] for fit in model.fits])
    by_place, by_pair = np.split(estimable, [len(PLACES) * len(tasks)])
    first, _, last = np.split(by_place, len(PLACES))
    return Estimability(int((first & last).sum()), int(by_pair.sum()), model.joint)


def estimate_by_seed(values: pd.Series, orders: Sequence[str], fit: Regression) -> np.ndarray:
    """Estimate by seed, (seeds, estimands); NaN where the orders of a seed do not determine an estimand."""
    estimates = []
    for _, seed_values in values.groupby(level="seed"):
        rows = [orders.index(order) for order in seed_values.index.get_level_values("order")]
        weights, estimable = _estimator_weights(fit.columns[rows], fit.estimands)
        estimates.append(np.where(estimable, weights @ seed_values.to_numpy(float), np.nan))
    return np.array(estimates).reshape(-1, len(fit.estimands))


def pool_over_seeds(estimates: np.ndarray, dimensions: int) -> list[dict[str, float]]:
    """Average similar contrasts over seeds, (seeds, contrasts), each with its 95 % t interval.

    The variance over seeds is pooled over the contrasts, because no task is special before the data are seen. The error
    is the seed x contrast interaction, as in a split plot, with dimensions x (seeds - 1) degrees of freedom. This makes
    the intervals useful at three seeds, where a single contrast has two degrees of freedom.
    """
    known = ~np.isnan(estimates)
    counts = known.sum(axis=0)
    means = np.where(counts > 0, np.where(known, estimates, 0).sum(axis=0) / np.maximum(counts, 1), np.nan)
    df = (counts - 1).clip(0).sum()
    variance = np.nansum((estimates - means) ** 2) / df if df else np.nan
    return [
        {"effect": mean, "n": int(n)} | t_bounds(mean, (variance / max(n, 1)) ** 0.5, dimensions * (n - 1))
        for mean, n in zip(means, counts, strict=True)
    ]


def recency_effects(cells: Cells) -> dict[str, Any]:
    """Test whether the order effect is due to the last task being of the target's kind.

    By target: `difference` is the mean score of the orders that end with a task of that kind minus that of the others;
    its error is the seed x last task interaction, see `pool_over_seeds`. `share` is the share of the between-order sum
    of squares that this explains, and `share_by_chance` what noise alone would explain. `p_remaining` is the p of the
    order effect beyond it. `over_targets` is the mean difference with a plain t interval over seeds, because the errors
    of targets tuned from one encoder are correlated.
    """
    targets, differences = {}, {}
    for target in cells.targets:
        same_kind = [task for task in cells.tasks if cells.kinds[task] == cells.target_kinds[target]]
        if 0 < len(same_kind) < len(cells.tasks):
            targets[target], differences[target] = _target_recency(cells.order_scores(target), same_kind)
    table = pd.DataFrame(differences, dtype=float)
    return {"targets": targets, "over_targets": t_interval(table.mean(axis=1, skipna=False).to_numpy())}


def _target_recency(values: pd.Series, same_kind: list[str]) -> tuple[dict[str, Any], pd.Series]:
    """Return the recency entry of one target and its difference by seed.

    A seed counts only if, for every task that is ever last, it has a run that ends with it.
    """
    last = [split_order(order)[-1] for order in values.index.get_level_values("order")]
    table = values.groupby([values.index.get_level_values("seed"), pd.Index(last)]).mean().unstack().dropna()
    last_tasks = [task for task in same_kind if task in table], [task for task in table if task not in same_kind]
    difference = table[last_tasks[0]].mean(axis=1) - table[last_tasks[1]].mean(axis=1)
    seeds, df = len(table), (len(table) - 1) * (table.shape[1] - 1)
    interaction = table.sub(table.mean(axis=1), axis=0)
    interaction -= interaction.mean(axis=0)
    variance = (interaction.to_numpy() ** 2).sum() / df if df > 0 else np.nan
    error = (variance * sum(1 / max(len(group), 1) for group in last_tasks) / max(seeds, 1)) ** 0.5
    covariate = np.isin(last, same_kind).astype(float)
    has_both_kinds = all(last_tasks)
    share, by_chance = _explained_share(values, covariate) if has_both_kinds else (np.nan, np.nan)
    entry = {
        "own_kind": same_kind,
        "difference": difference.mean(),
        "n": seeds,
        **t_bounds(difference.mean(), error, df),
        "share": share,
        "share_by_chance": by_chance,
        "p_remaining": order_p_value(values, covariate) if has_both_kinds else np.nan,
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


def _place_estimands(tasks: Sequence[str]) -> np.ndarray:
    """Return first, middle and last of each task, as deviations from its mean over positions.

    The functions act on the coefficients of `_code_ends`, (3 x tasks, 2 x (tasks - 1)): first of every task, then
    middle (NaN with two tasks), then last.
    """
    first, last = np.kron(np.eye(2), _deviation_coding(len(tasks))).reshape(2, len(tasks), -1)
    mean = (first + last) / len(tasks)
    return np.vstack([first - mean, -mean if len(tasks) > 2 else mean * np.nan, last - mean])


def _deviation_coding(levels: int) -> np.ndarray:
    """Return sum-to-zero coding, (levels, levels - 1)."""
    return np.vstack([np.eye(levels - 1), -np.ones(levels - 1)])
