"""Efficient designs: the orders that tell most about effects of order for a budget of trainings.

A design is judged under this linear model of the score that an order ends with, which the analysis also fits
(`analysis.contrasts.choose_model`):

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

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from scipy.linalg import null_space
from threadpoolctl import threadpool_limits

from stiltwalk.sweep.trie import Order, depth_first

PRIOR = 1.0
MEAN_PRECISION = 1e-6  # prior precision of the mean: almost flat, and the matrix stays invertible
TOLERANCE = 1e-7


class EffectModel:
    """The linear model for n tasks. Orders are integer arrays of task numbers, (..., n)."""

    def __init__(self, n: int) -> None:
        self.n = n
        first_and_last = [0, n - 1, *range(1, n - 1)]
        centred = np.linalg.qr((np.eye(n) - 1 / n)[:, first_and_last])[0][:, : n - 1]
        # By task and position; the first two columns of the last axis span effects that all middle positions share.
        position = np.kron(centred, centred).reshape(n * n, n - 1, n - 1)
        self.ends, self.middle = (part.reshape(n * n, -1) for part in (position[:, :, :2], position[:, :, 2:]))
        cells = np.eye(n * n)
        zero_sums = np.vstack([np.kron(np.eye(n), np.ones(n)), np.kron(np.ones(n), np.eye(n)), cells[:: n + 1]])
        self.carry = null_space(zero_sums)  # (before * n + after, free values); the diagonal is zero
        sizes = [1, self.ends.shape[1], self.carry.shape[1], self.middle.shape[1]]
        self.levels = np.cumsum(sizes)[1:]
        """The numbers of leading features that the analysis fits, from its simplest model to its richest."""
        self.precision = np.repeat([MEAN_PRECISION, 1 / PRIOR, 1 / PRIOR, 1 / PRIOR], sizes)
        # Effects sum to zero, so the variances of all contrasts sum to the trace of the covariance times the number of
        # positions (or of preceding tasks) compared. There are n^2(n-1)/2 + n(n-1)(n-2)/2 contrasts.
        self.weight = np.repeat([0, n, n - 1, n], sizes) / (n * (n - 1) ** 2)

    def features(self, orders: np.ndarray) -> np.ndarray:
        """Return the features of each order: mean, first and last positions, carry-overs, other positions."""
        at_position, neighbours = orders * self.n + np.arange(self.n), orders[..., :-1] * self.n + orders[..., 1:]
        effects = ((self.ends, at_position), (self.carry, neighbours), (self.middle, at_position))
        mean = np.ones((*orders.shape[:-1], 1))
        return np.concatenate([mean, *(columns[cells].sum(axis=-2) for columns, cells in effects)], axis=-1)

    def covariance(self, features: np.ndarray) -> np.ndarray:
        """Return the posterior covariance of the free values after orders with these features, (orders, features)."""
        return np.linalg.inv(features.T @ features + np.diag(self.precision))

    def variance(self, orders: np.ndarray) -> float:
        """Return what orders, each scored once, leave unknown: the A-criterion, of which a lower value is better.

        This is the mean posterior variance, in units of the noise variance of one score, over all contrasts of position
        (one task at two positions) and of carry-over (one task after two others). Without any data it is 1.17 for three
        tasks and 1.76 for nine. Noise is taken as independent between orders, although orders that share a prefix share
        the noise of its training.
        """
        return float(self.weight @ np.diag(self.covariance(self.features(orders))))

    def reductions(self, features: np.ndarray, batches: np.ndarray) -> np.ndarray:
        """Return by how much each batch of further orders, (batches, orders, features), reduces the variance."""
        moved = batches @ self.covariance(features)
        own = np.eye(batches.shape[1]) + moved @ batches.swapaxes(1, 2)
        explained = (moved * self.weight) @ moved.swapaxes(1, 2)
        return np.trace(np.linalg.solve(own, explained), axis1=1, axis2=2)  # Woodbury's identity

    def new_ranks(self, features: np.ndarray, batches: np.ndarray) -> np.ndarray:
        """Return how many combinations each batch makes estimable in the simplest model that lacks some."""
        for level in self.levels:
            unknown = null_space(features[:, :level])
            if unknown.shape[1]:
                return np.linalg.matrix_rank(batches[:, :, :level] @ unknown, tol=TOLERANCE)
        return np.zeros(len(batches))


def efficient_orders(tasks: Order, budget: int) -> list[Order]:
    """Return the beginning of the sequence of `symmetric_batches` that `budget` trainings pay for.

    If the budget does not pay for the first batch, its first orders are taken. The designs are nested: a larger budget
    adds orders and removes none. So a design determines whatever a smaller one determines, and a sweep can be extended
    to a larger budget without losing an experiment. A budget that does not pay for the next whole batch stays unspent.
    """
    n = len(tasks)
    chosen: list[list[int]] = []
    for trainings, batch in symmetric_batches(n):
        if trainings > budget:
            chosen += batch[: budget // n].tolist() if not chosen else []
            break
        chosen += batch.tolist()
    return depth_first(tuple(tasks[task] for task in order) for order in sorted(chosen))


def symmetric_batches(n: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield batches of n orders of n tasks, (n, n), each with the trainings of all batches up to it.

    A batch consists of one order and its cyclic relabellings (task t becomes t + 1 modulo n). It has every task once at
    every position, so the subtrees of all first tasks have the same shape and size: the F test of first tasks is exact,
    and what is estimable for one task is estimable for all. The first batch is a Williams square (the half of one if n
    is odd).

    The orders of a further batch begin like present ones: in a present order, the tasks between two positions are
    reversed. Among these batches the greedy choice takes, per training that it costs, the one that makes most effects
    estimable in the simplest model of the analysis that lacks some, and then the one that reduces the mean variance of
    contrasts most. Nothing is random. All n! orders come in the end.
    """
    model = EffectModel(n)
    bases = np.array([zigzag(n)])
    batch, trainings = relabel(bases[0]), n * n
    features = model.features(batch)
    yield trainings, batch
    while len(candidates := _reverse_segments(bases)):
        shared = (candidates[:, None] == bases).cumprod(axis=2).sum(axis=2).max(axis=1)  # steps
        costs = n * (n - shared)
        with threadpool_limits(1):  # the matrices are small: threads cost more than they save
            batches = model.features(relabel(candidates))
            gains = np.array([model.reductions(features, batches), model.new_ranks(features, batches)]) / costs
        best = np.lexsort(gains.round(9))[-1]  # rounded, so that ties are ties on every machine
        bases = np.vstack([bases, candidates[best]])
        features = np.vstack([features, batches[best]])
        trainings += int(costs[best])
        yield trainings, relabel(candidates[best])


def zigzag(n: int) -> list[int]:
    """Return the order 0, 1, n-1, 2, n-2, ..., whose relabellings are a Williams square."""
    return [((step + 1) // 2 if step % 2 else -step // 2) % n for step in range(n)]


def relabel(orders: np.ndarray) -> np.ndarray:
    """Return the cyclic relabellings of every order, (..., n, n)."""
    n = orders.shape[-1]
    return (orders[..., None, :] + np.arange(n)[:, None]) % n


def _reverse_segments(orders: np.ndarray) -> np.ndarray:
    """Return the distinct orders, except the present ones, that reversing a segment after the first task makes."""
    n = orders.shape[1]
    reversed_orders = [
        (*order[:start], *order[start:end][::-1], *order[end:])
        for order in orders.tolist()
        for start, end in combinations(range(1, n + 1), 2)
        if end - start > 1
    ]
    present = set(map(tuple, orders.tolist()))
    return np.array([order for order in dict.fromkeys(reversed_orders) if order not in present])
