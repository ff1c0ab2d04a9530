"""Efficient designs: the orders that tell most about effects of order for a budget of trainings.

A design is judged under this linear model of the score that an order ends with:

    score = mean + sum over positions p of position(task at p, p) + sum over neighbours of carry(task before, task)
            + noise

Every order is a permutation of the same n tasks. No design can therefore separate all position and carry-over effects,
and conventions fix the rest:

- A constant added to all tasks at one position, or to one task at all positions, adds the same to every order and is
  part of the mean. So position(.,.) sums to zero over tasks and over positions: (n-1)^2 free values.
- "s has a successor" means that s is not last, and "t has a predecessor" that t is not first. Both are effects of
  position, so carry(.,.) sums to zero over either task: n^2 - 3n + 1 free values (n > 2).

All n! orders together estimate these free values. But k orders estimate at most k - 1 combinations of them, and nine
tasks have 64 + 55. The free values therefore have a prior (normal with mean zero and variance PRIOR, in units of the
noise variance of one score; the mean has a flat prior), as in DuMouchel and Jones (Technometrics 1994, A Simple
Bayesian Modification of D-Optimal Designs). A contrast about which a design says nothing keeps its prior variance;
without the prior, its variance would be infinite.
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
from scipy.linalg import null_space
from threadpoolctl import threadpool_limits

from stiltwalk.sweep.trie import Order, count_trainings, depth_first
from stiltwalk.utils.errors import InputError

PRIOR = 1.0
MEAN_PRECISION = 1e-6  # prior precision of the mean: almost flat, and the matrix stays invertible
CANDIDATES = 500  # orders compared for each one that is added
ROUNDS = 200  # of exchange


class EffectModel:
    """The linear model for n tasks. Orders are integer arrays of task numbers, (orders, n)."""

    def __init__(self, n: int) -> None:
        self.n = n
        centred = null_space(np.ones((1, n)))
        self.position = np.kron(centred, centred)  # (task * n + position, (n-1)^2 free values)
        cells = np.eye(n * n)
        zero_sums = np.vstack([np.kron(np.eye(n), np.ones(n)), np.kron(np.ones(n), np.eye(n)), cells[:: n + 1]])
        self.carry = null_space(zero_sums)  # (before * n + after, free values); the diagonal is zero
        sizes = [1, self.position.shape[1], self.carry.shape[1]]
        self.precision = np.repeat([MEAN_PRECISION, 1 / PRIOR, 1 / PRIOR], sizes)
        # Effects sum to zero, so the variances of all contrasts sum to the trace of the covariance times the number of
        # positions (or of preceding tasks) compared. There are n^2(n-1)/2 + n(n-1)(n-2)/2 contrasts.
        self.weight = np.repeat([0, n, n - 1], sizes) / (n * (n - 1) ** 2)

    def features(self, orders: np.ndarray) -> np.ndarray:
        """Return one row per order: mean, positions, carry-overs."""
        positions = self.position[orders * self.n + np.arange(self.n)].sum(axis=1)
        carries = self.carry[orders[:, :-1] * self.n + orders[:, 1:]].sum(axis=1)
        return np.hstack([np.ones((len(orders), 1)), positions, carries])

    def covariance(self, orders: np.ndarray) -> np.ndarray:
        """Return the posterior covariance of the free values after these orders."""
        rows = self.features(orders)
        return np.linalg.inv(rows.T @ rows + np.diag(self.precision))

    def variance(self, orders: np.ndarray) -> float:
        """Return the mean posterior variance over all contrasts after these orders."""
        return float(self.weight @ np.diag(self.covariance(orders)))

    def gains(self, orders: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return by how much each candidate, added to the orders, reduces the variance (Sherman and Morrison)."""
        rows = self.features(candidates)
        moved = rows @ self.covariance(orders)
        return (moved**2) @ self.weight / (1 + (moved * rows).sum(axis=1))


def mean_contrast_variance(orders: Sequence[Order]) -> float:
    """Return what permutations of the same tasks, each scored once, leave unknown about order; lower is better.

    This is the A-criterion: the mean posterior variance, in units of the noise variance of one score, over all
    contrasts of position (one task at two positions) and of carry-over (one task after two others), under the model
    and the prior above. Without any data it is 1.17 for three tasks and 1.76 for nine. The model takes noise as
    independent between orders, although orders that share a prefix share the noise of its training.

    Raises InputError unless the orders are permutations of the same two or more tasks.
    """
    orders = list(dict.fromkeys(orders))
    tasks = sorted(orders[0]) if orders else []
    for order in orders:
        if sorted(order) != tasks or len(set(order)) != len(tasks):
            raise InputError(
                f"orders contains {order}, which is no permutation of {tasks}; give complete orders of the same tasks"
            )
    if len(tasks) < 2:
        raise InputError(f"orders={orders} has fewer than two tasks; give complete orders of the same tasks")
    model = EffectModel(len(tasks))
    return model.variance(np.array([[tasks.index(task) for task in order] for order in orders]))


def search_efficient_orders(tasks: Order, budget: int, seed: int, square: Sequence[Sequence[int]]) -> list[Order]:
    """Search for the permutations of `tasks` that take at most `budget` trainings and minimise the contrast variance.

    A greedy start adds orders by gain per training. Exchange rounds then remove all orders below a random prefix and
    refill the budget, by gain over a random power of the trainings so that no budget is left over.

    The mean over contrasts alone would put the same tasks first, second, ... in every order: branching late is cheap,
    and nothing would be known about these tasks. Half of the budget (rounded up to whole orders) therefore trains rows
    of a Williams square (`square`, task numbers), which are never removed. No two of the first n rows have a
    task in the same position; from about 2 n^2 trainings on, all n rows are there.
    """
    n = len(tasks)
    rng, model = np.random.default_rng(seed), EffectModel(n)
    fixed_rows = min(n, ceil(budget / (2 * n)))
    with threadpool_limits(1):  # the matrices are small: threads cost more than they save
        best = _fill_budget(np.array(square[:fixed_rows]), budget, model, rng, 1)
        lowest = model.variance(best)
        for _ in range(ROUNDS if len(best) > fixed_rows else 0):
            prefix = best[rng.integers(fixed_rows, len(best)), : rng.integers(1, n)]
            keep = (best[:, : len(prefix)] != prefix).any(axis=1)
            keep[:fixed_rows] = True
            trial = _fill_budget(best[keep], budget, model, rng, rng.random())
            if (variance := model.variance(trial)) < lowest:
                best, lowest = trial, variance
    return depth_first(tuple(tasks[task] for task in order) for order in sorted(best.tolist()))


def _fill_budget(
    orders: np.ndarray, budget: int, model: EffectModel, rng: np.random.Generator, power: float
) -> np.ndarray:
    """Append orders, each the candidate with the highest gain / trainings^power, until the budget allows no more."""
    n = model.n
    left = budget - count_trainings(map(tuple, orders.tolist()))
    while True:
        # A candidate branches off a present order at a random depth; the steps below are shuffled.
        bases = orders[rng.integers(len(orders), size=CANDIDATES)]
        keys = rng.random(bases.shape)
        keys[np.arange(n) < rng.integers(n - 1, size=(CANDIDATES, 1))] = -1
        candidates = np.take_along_axis(bases, keys.argsort(axis=1, kind="stable"), axis=1)
        shared = (candidates[:, None] == orders).cumprod(axis=2, dtype=np.int8).sum(axis=2).max(axis=1)
        costs = n - shared
        affordable = (costs > 0) & (costs <= left)
        if not affordable.any():
            return orders
        candidates, costs = candidates[affordable], costs[affordable]
        chosen = (model.gains(orders, candidates) / costs**power).argmax()
        orders, left = np.vstack([orders, candidates[chosen]]), left - int(costs[chosen])
