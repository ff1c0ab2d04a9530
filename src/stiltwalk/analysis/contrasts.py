"""What in an order has an effect: a task's position, its neighbour, the task that comes last."""

from collections.abc import Sequence
from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import block_diag, null_space

from stiltwalk.analysis.anova import Keys, indicators, order_test, span, tail
from stiltwalk.analysis.cells import Cells, bounds, steps, t_interval

PLACES = ("first", "middle", "last")
JOINT = "joint: a pair's effect is what it adds beyond the positions of both tasks"
SEPARATE = "separate: the orders do not tell carry-over from position, so each is fitted as if it were alone"


def positions(cells: Cells, target: str) -> dict[str, Any]:
    """Effects of a task's position and of each ordered pair of neighbours on a target, with 95 % intervals.

    Least squares within each seed on the first and the last task, places between them taken as one, in sum-to-zero
    coding (first-order carry-over as in cross-over designs, Jones & Kenward 2014, ch. 4). An effect of position is the
    deviation from the task's mean over positions. What is first is not next, and what is last is not previous, so that
    positions fix the sums of the pairs over either task: in the joint model a pair's effect is what it adds beyond
    both. Where the orders do not bear the joint model and a degree of freedom besides (three tasks never do), the two
    are fitted apart, and effects of the one show in the other. What the orders do not determine is NaN.

    Intervals are over seeds (summary measures, Senn et al. 2000), which holds whatever runs of one seed have in common,
    as the checkpoints that orders share; see `pooled`.
    """
    values, tasks = cells.of_orders(target), cells.tasks
    there = [cells.orders.index(order) for order in sorted(set(values.index.get_level_values("order")))]
    joint, parts = model(cells.orders, tasks, there)
    fit = np.hstack([within_seeds(values, cells.orders, columns, wanted) for columns, wanted in parts])
    by_place, by_pair = np.split(fit, [3 * len(tasks)], axis=1)
    found = {name: pooled(part, len(tasks) - 1) for name, part in zip(PLACES, np.split(by_place, 3, 1), strict=True)}
    return {
        "model": JOINT if joint else SEPARATE,
        "tasks": {task: {name: found[name][t] for name in PLACES} for t, task in enumerate(tasks)},
        "carry_over": dict(zip(map(">".join, permutations(tasks, 2)), pooled(by_pair, len(tasks) - 1), strict=True)),
    }


def model(
    orders: Sequence[str], tasks: Sequence[str], there: Sequence[int]
) -> tuple[bool, list[tuple[np.ndarray, np.ndarray]]]:
    """Whether positions and pairs are fitted together, and for each fit its columns (a row an order) and the wanted
    functions of their coefficients: first, middle and last of every task, then every ordered pair.

    there: the orders that have a score.
    """
    pairs = list(permutations(tasks, 2))
    place, pair = place_columns(orders, tasks), pair_columns(orders, pairs)
    beyond = null_space(np.array([[p[side] == task for p in pairs] for side in (0, 1) for task in tasks], float))
    both = with_mean(np.hstack([place, pair @ beyond])[there])
    if beyond.shape[1] > 0 and np.linalg.matrix_rank(both) == both.shape[1] < len(there):
        return True, [(np.hstack([place, pair @ beyond]), block_diag(places(tasks), beyond))]
    total = null_space(np.ones((1, len(pairs))))
    return False, [(place, places(tasks)), (pair @ total, total)]


def determined(orders: Sequence[str], tasks: Sequence[str]) -> dict[str, Any]:
    """What a design of orders can tell before anything runs: of how many tasks the effects of being first and last, of
    how many ordered pairs the carry-over, and whether the two are told apart (`joint`).
    """
    joint, parts = model(orders, tasks, range(len(orders)))
    fixed = np.concatenate([estimators(with_mean(columns), functions(wanted))[1] for columns, wanted in parts])
    by_place, by_pair = np.split(fixed, [3 * len(tasks)])
    first, _, last = np.split(by_place, 3)
    return {"positions": int((first & last).sum()), "pairs": int(by_pair.sum()), "joint": joint}


def with_mean(columns: np.ndarray) -> np.ndarray:
    return np.hstack([np.ones((len(columns), 1)), columns])


def functions(wanted: np.ndarray) -> np.ndarray:
    """The wanted functions, of which the mean is no part."""
    return np.pad(wanted, ((0, 0), (1, 0)))


def estimators(design: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What of the scores each of the functions (rows) is, and which of them the design determines."""
    weights = wanted @ np.linalg.pinv(design)
    return weights, np.isclose(weights @ design, wanted).all(axis=1)


def place_columns(orders: Sequence[str], tasks: Sequence[str]) -> np.ndarray:
    """The first and the last task of each order in deviation coding, (orders, 2 x (tasks - 1))."""
    coding = deviation(len(tasks))
    rows = [np.concatenate([coding[tasks.index(steps(order)[i])] for i in (0, -1)]) for order in orders]
    return np.array(rows, float).reshape(len(orders), 2 * coding.shape[1])


def places(tasks: Sequence[str]) -> np.ndarray:
    """First, middle and last of each task as deviations from its mean over positions, from those coefficients.

    (3 x tasks, 2 x (tasks - 1)): first tasks, then middle (NaN where there is none), then last.
    """
    first, last = np.kron(np.eye(2), deviation(len(tasks))).reshape(2, len(tasks), -1)
    mean = (first + last) / len(tasks)
    return np.vstack([first - mean, -mean if len(tasks) > 2 else mean * np.nan, last - mean])


def deviation(levels: int) -> np.ndarray:
    """Sum-to-zero coding, (levels, levels - 1)."""
    return np.vstack([np.eye(levels - 1), -np.ones(levels - 1)])


def pair_columns(orders: Sequence[str], pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Which ordered pairs are neighbours in each order, (orders, pairs) of 0 and 1."""
    rows = [[pair in set(pairwise(steps(order))) for pair in pairs] for order in orders]
    return np.array(rows, float).reshape(len(orders), len(pairs))


def within_seeds(values: pd.Series, orders: Sequence[str], columns: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Linear functions of the coefficients by seed, (seeds, functions); NaN where a seed's orders do not fix them."""
    found = []
    for _, of_seed in values.groupby(level="seed"):
        rows = [orders.index(order) for order in of_seed.index.get_level_values("order")]
        weights, fixed = estimators(with_mean(columns[rows]), functions(wanted))
        found.append(np.where(fixed, weights @ of_seed.to_numpy(float), np.nan))
    return np.array(found).reshape(-1, len(wanted))


def pooled(estimates: np.ndarray, dimensions: int) -> list[dict[str, float]]:
    """Means over seeds of like contrasts, (seeds, contrasts), each with its 95 % t interval.

    The variance over seeds is pooled over the contrasts, for tasks stand alike before the data are seen: the error is
    the seed x contrast interaction, as in a split plot, with dimensions x (seeds - 1) degrees of freedom. That is what
    makes an interval of use at three seeds, where one contrast alone has two degrees of freedom.
    """
    there = ~np.isnan(estimates)
    counts = there.sum(axis=0)
    means = np.where(counts > 0, np.where(there, estimates, 0).sum(axis=0) / np.maximum(counts, 1), np.nan)
    df = (counts - 1).clip(0).sum()
    variance = np.nansum((estimates - means) ** 2) / df if df else np.nan
    return [
        {"effect": mean, "n": int(n)} | bounds(mean, (variance / max(n, 1)) ** 0.5, dimensions * (n - 1))
        for mean, n in zip(means, counts, strict=True)
    ]


def recency(cells: Cells, keys: Keys) -> dict[str, Any]:
    """Does it explain the order effect that the last task is of the target's own kind?

    By target: the mean score of the orders that end so less that of the others (`difference`; its error is the seed x
    last task interaction, see `pooled`), the share of the between-order sum of squares that this explains (a share of
    `share_by_chance` would come of noise alone), and the p of the order effect beyond it. `over_targets` is the mean
    difference with a plain t interval over seeds, for targets tuned from one encoder err together.
    """
    found, differences = {}, {}
    for target in cells.targets:
        own = [task for task in cells.tasks if cells.kinds[task] == cells.kinds[target]]
        if 0 < len(own) < len(cells.tasks):
            found[target], differences[target] = recency_of(cells.of_orders(target), own, keys)
    table = pd.DataFrame(differences, dtype=float)
    return {"targets": found, "over_targets": t_interval(table.mean(axis=1, skipna=False).to_numpy())}


def recency_of(values: pd.Series, own: list[str], keys: Keys) -> tuple[dict[str, Any], pd.Series]:
    """The same of one target, and its difference by seed; of the seeds where every task that is ever last is."""
    last = [steps(order)[-1] for order in values.index.get_level_values("order")]
    table = values.groupby([values.index.get_level_values("seed"), pd.Index(last)]).mean().unstack().dropna()
    ends = [task for task in own if task in table], [task for task in table if task not in own]
    difference = table[ends[0]].mean(axis=1) - table[ends[1]].mean(axis=1)
    seeds, df = len(table), (len(table) - 1) * (table.shape[1] - 1)
    interaction = table.sub(table.mean(axis=1), axis=0)
    interaction -= interaction.mean(axis=0)
    variance = (interaction.to_numpy() ** 2).sum() / df if df > 0 else np.nan
    error = (variance * sum(1 / max(len(end), 1) for end in ends) / max(seeds, 1)) ** 0.5
    covariate = np.isin(last, own).astype(float)
    told = all(ends)
    share, chance = explained_share(values, covariate) if told else (np.nan, np.nan)
    entry = {
        "own_kind": own,
        "difference": difference.mean(),
        "n": seeds,
        **bounds(difference.mean(), error, df),
        "share": share,
        "share_by_chance": chance,
        "p_remaining": tail(order_test(values, keys, covariate)) if told else np.nan,
    }
    return entry, difference


def explained_share(values: pd.Series, covariate: np.ndarray) -> tuple[float, float]:
    """The covariate's share of the sum of squares of the orders given the seeds, and that of one random contrast."""
    order, seed = (indicators(values.index, level) for level in ("order", "seed"))
    y = values.to_numpy(float) - values.mean()
    fits = [((basis.T @ y) ** 2).sum() for basis in (span(seed), span(seed, covariate[:, None]), span(order, seed))]
    df = span(order, seed).shape[1] - span(seed).shape[1]
    return ((fits[1] - fits[0]) / (fits[2] - fits[0]), 1 / df) if fits[2] - fits[0] > 1e-9 else (np.nan, np.nan)
