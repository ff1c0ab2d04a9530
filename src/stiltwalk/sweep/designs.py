"""Designs: which orders of some tasks to train, and the controls that a claim about order needs.

`efficient:N` and `variance_of` weigh a design by how well it tells effects of order, under this linear model of the one
score that an order ends with:

    score = mean + sum over places p of position(task at p, p) + sum over neighbours of carry(task before, task) + noise

Every order is a permutation of the same n tasks, so that much of position and carry cannot be told from the rest, by
any design, and is fixed by convention. A constant for all tasks at one position, or for one task at all positions, adds
the same to every order and is part of the mean: position(.,.) sums to zero over tasks and over positions, (n-1)^2 free
values. `s is followed by something` says that s is not last, `t follows something` that t is not first; both are
effects of position, so that carry(.,.) sums to zero over either task: n^2 - 3n + 1 free values (n > 2). What is left is
estimable from all n! orders, but k orders tell k - 1 combinations of it at most, and nine tasks have 64 + 55 values.
These therefore have a prior (normal, mean zero, PRIOR the variance in units of the noise of one score; flat for the
mean), as in DuMouchel and Jones (Technometrics 1994, A Simple Bayesian Modification of D-Optimal Designs): a contrast
on which a design says nothing keeps its prior variance, where without the prior it would be infinite.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise, permutations
from math import ceil, perm

import numpy as np
import pandas as pd
from scipy.linalg import null_space
from threadpoolctl import threadpool_limits

from stiltwalk.sweep.trie import Order, depth_first, trainings
from stiltwalk.utils.errors import InputError

DESIGNS = ("all", "williams", "latin", "random:K", "prefixes", "pairs", "efficient:N")
CONTROLS = ("baseline", "single", "joint", "reverse", "null")
MOST_ORDERS = 5040  # all of seven tasks
MOST_SEARCHED = 1000  # trainings of `efficient:N`, seconds of search for nine tasks

PRIOR = 1.0
CANDIDATES = 500  # orders looked at for each one taken
ROUNDS = 200  # of exchange


def make_orders(design: str, tasks: Sequence[str], seed: int = 0) -> list[Order]:
    """The orders of a design, distinct.

    all: every permutation. latin: the cyclic Latin square, every task once in each position. williams: also every
    ordered pair of neighbours equally often, n orders for even n and 2n for odd (Williams 1949, Australian Journal of
    Scientific Research A2). random:K: K permutations, drawn by `seed`. prefixes: every ordered selection of every
    length. pairs: every ordered selection of two. efficient:N: permutations that take at most N trainings and tell
    effects of order best (`variance_of`), found by a search that depends on `seed`; the budget counts intermediate
    trainings alone, and the more orders share them the more there are to evaluate.

    Raises InputError for an unknown design, a number that does not fit, tasks that are none or named twice, and for
    designs of more than MOST_ORDERS orders.
    """
    tasks, n = tuple(tasks), len(tasks)
    name, colon, number = str(design).partition(":")
    if (f"{name}:" if colon else name) not in [known.rstrip("KN") for known in DESIGNS]:
        raise InputError(f"design={design!r} is unknown; the designs are {', '.join(DESIGNS)}")
    if colon and not (number.isdecimal() and int(number)):
        raise InputError(
            f"design={design!r} has no whole number above 0 after ':'; the designs are {', '.join(DESIGNS)}"
        )
    if repeated := [task for task in tasks if tasks.count(task) > 1]:
        raise InputError(f"tasks names '{repeated[0]}' twice; a design (here {design!r}) takes distinct tasks")
    if n < (least := 2 if name in ("pairs", "efficient") else 1):
        raise InputError(f"design={design!r} needs at least {least} task(s), tasks={list(tasks)} has {n}; name more")
    nodes = sum(perm(n, length) for length in range(1, n + 1))
    count = {"all": perm(n), "prefixes": nodes, "random": int(number or 0)}.get(name, 0)
    if name == "random" and count > perm(n):
        raise InputError(f"design={design!r} wants {number} orders, but {n} tasks have {perm(n)}; write 'all' or fewer")
    if count > MOST_ORDERS:
        raise InputError(
            f"design={design!r} of {n} tasks is {count} orders, more than {MOST_ORDERS}; "
            f"write 'random:K' for K of them, or 'efficient:N' for those best worth N trainings"
        )
    if name == "efficient" and not n <= int(number) <= min(nodes, MOST_SEARCHED):
        raise InputError(
            f"design={design!r} is a budget of {number} trainings; {n} tasks take {n} for one order and {nodes} for "
            f"all: write a number from {n} to {min(nodes, MOST_SEARCHED)}"
        )
    make: dict[str, Callable[[], Iterable[Order]]] = {
        "all": lambda: permutations(tasks),
        "williams": lambda: (tuple(tasks[task] for task in row) for row in _williams(n)),
        "latin": lambda: (tasks[first:] + tasks[:first] for first in range(n)),
        "random": lambda: _random(tasks, count, seed),
        "prefixes": lambda: (order for length in range(1, n + 1) for order in permutations(tasks, length)),
        "pairs": lambda: permutations(tasks, 2),
        "efficient": lambda: _efficient(tasks, int(number), seed),
    }
    return list(make[name]())


def controls(orders: Iterable[Order], tasks: Sequence[str], wanted: Iterable[str] = CONTROLS) -> list[Order]:
    """The controls that a claim about these orders of `tasks` needs, without those that are among the orders.

    baseline: no intermediate training. single: each task alone. joint: all tasks in one step, so in no order. reverse:
    each order backwards. null: a task with shuffled labels. InputError for another kind.
    """
    orders = list(orders)
    kinds: dict[str, list[Order]] = {
        "baseline": [()],
        "single": [(task,) for task in tasks],
        "joint": [("+".join(tasks),)],
        "reverse": [order[::-1] for order in orders],
        "null": [("null",)],
    }
    wanted, there = list(wanted), set(orders)
    if unknown := [kind for kind in wanted if kind not in kinds]:
        raise InputError(f"controls has the unknown kind {unknown[0]!r}; the kinds are {', '.join(CONTROLS)}")
    found = dict.fromkeys(order for kind in wanted for order in kinds[kind])
    return [order for order in found if order not in there]


def balance(orders: Iterable[Order]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How often each step stands in each position (step x 1..), and how often each follows each (before x after)."""
    orders = list(orders)
    steps = list(dict.fromkeys(step for order in orders for step in order))
    number = {step: index for index, step in enumerate(steps)}
    positions = np.zeros((len(steps), max(map(len, orders), default=0)), int)
    neighbours = np.zeros((len(steps), len(steps)), int)
    for order in orders:
        for position, step in enumerate(order):
            positions[number[step], position] += 1
        for before, after in pairwise(order):
            neighbours[number[before], number[after]] += 1
    return (
        pd.DataFrame(positions, index=steps, columns=range(1, positions.shape[1] + 1)),
        pd.DataFrame(neighbours, index=steps, columns=steps),
    )


def variance_of(orders: Sequence[Order]) -> float:
    """What is left unknown of order after these permutations of the same tasks, each scored once; lower is better.

    It is the A-criterion: the mean posterior variance, in units of the noise variance of one score, over all contrasts
    of position (one task at two positions) and of carry-over (one task after two others), under the model and the
    prior at the head of this module. To know nothing is 1.17 for three tasks and 1.76 for nine. Noise is taken as
    independent between orders, though orders that share a prefix share the luck of its training.

    Raises InputError where the orders are not permutations of the same two tasks or more.
    """
    orders = list(dict.fromkeys(orders))
    tasks = sorted(orders[0]) if orders else []
    for order in orders:
        if sorted(order) != tasks or len(set(order)) != len(tasks):
            raise InputError(f"orders has {order}, which is no permutation of {tasks}; give whole orders of one design")
    if len(tasks) < 2:
        raise InputError(f"orders={orders} has no two tasks to order; give whole orders of one design")
    model = _Effects(len(tasks))
    return model.variance(np.array([[tasks.index(task) for task in order] for order in orders]))


def _williams(n: int) -> list[list[int]]:
    zigzag = [(step + 1) // 2 if step % 2 else -step // 2 for step in range(n)]  # 0, 1, -1, 2, -2, ...
    rows = [[(first + step) % n for step in zigzag] for first in range(n)]
    return rows + [row[::-1] for row in rows] if n % 2 and n > 1 else rows


def _random(tasks: Order, count: int, seed: int) -> list[Order]:
    rng = random.Random(seed)
    drawn: dict[Order, None] = {}
    while len(drawn) < count:
        drawn[tuple(rng.sample(tasks, len(tasks)))] = None
    return list(drawn)


class _Effects:
    """The linear model for n tasks; orders are arrays of task numbers (orders x n)."""

    def __init__(self, n: int) -> None:
        self.n = n
        centred = null_space(np.ones((1, n)))
        self.position = np.kron(centred, centred)  # task * n + position -> (n-1)^2 free values
        cells = np.eye(n * n)
        sums = np.vstack([np.kron(np.eye(n), np.ones(n)), np.kron(np.ones(n), np.eye(n)), cells[:: n + 1]])
        self.carry = null_space(sums)  # before * n + after -> free values; the diagonal is empty
        free = [1, self.position.shape[1], self.carry.shape[1]]
        self.precision = np.repeat([1e-6, 1 / PRIOR, 1 / PRIOR], free)
        # Effects sum to zero, so that the variance of all contrasts is the trace of their covariance, times the number
        # of positions (or of tasks before) that each is compared over; there are n^2(n-1)/2 + n(n-1)(n-2)/2 contrasts.
        self.weight = np.repeat([0, n, n - 1], free) / (n * (n - 1) ** 2)

    def features(self, orders: np.ndarray) -> np.ndarray:
        """The row of each order: mean, positions, carry-overs."""
        positions = self.position[orders * self.n + np.arange(self.n)].sum(axis=1)
        carries = self.carry[orders[:, :-1] * self.n + orders[:, 1:]].sum(axis=1)
        return np.hstack([np.ones((len(orders), 1)), positions, carries])

    def covariance(self, orders: np.ndarray) -> np.ndarray:
        rows = self.features(orders)
        return np.linalg.inv(rows.T @ rows + np.diag(self.precision))

    def variance(self, orders: np.ndarray) -> float:
        return float(self.weight @ np.diag(self.covariance(orders)))

    def gains(self, orders: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """By how much each candidate alone would lower the variance (Sherman and Morrison)."""
        rows = self.features(candidates)
        moved = rows @ self.covariance(orders)
        return (moved**2) @ self.weight / (1 + (moved * rows).sum(axis=1))


def _efficient(tasks: Order, budget: int, seed: int) -> list[Order]:
    """Greedy by gain a training; then rounds that take out all orders below one prefix and fill the budget again, by
    gain over a power of the trainings, so that nothing is left over.

    The mean over contrasts alone would have some tasks stand first, second, ... in every order: branching late is
    cheap, and nothing is then known of these tasks. So half of the budget (rounded up to whole orders) trains rows of a
    Williams square, all n from about 2 n^2 trainings on, that stay: each puts every task in a position of its own.
    """
    rng, model = np.random.default_rng(seed), _Effects(len(tasks))
    rows = min(len(tasks), ceil(budget / (2 * len(tasks))))
    with threadpool_limits(1):  # the matrices are small: threads cost more than they save
        best = _fill(np.array(_williams(len(tasks))[:rows]), budget, model, rng, 1)
        lowest = model.variance(best)
        for _ in range(ROUNDS if len(best) > rows else 0):
            prefix = best[rng.integers(rows, len(best)), : rng.integers(1, len(tasks))]
            stays = (best[:, : len(prefix)] != prefix).any(axis=1)
            stays[:rows] = True
            trial = _fill(best[stays], budget, model, rng, rng.random())
            if (variance := model.variance(trial)) < lowest:
                best, lowest = trial, variance
    return depth_first(tuple(tasks[task] for task in order) for order in sorted(best.tolist()))


def _fill(orders: np.ndarray, budget: int, model: _Effects, rng: np.random.Generator, power: float) -> np.ndarray:
    """The orders with more of them behind, as many as the budget of trainings allows."""
    n = model.n
    left = budget - trainings(map(tuple, orders.tolist()))
    while True:
        # Candidates branch off orders that are there, at any depth: what comes below is shuffled.
        bases = orders[rng.integers(len(orders), size=CANDIDATES)]
        keys = rng.random(bases.shape)
        keys[np.arange(n) < rng.integers(n - 1, size=(CANDIDATES, 1))] = -1
        candidates = np.take_along_axis(bases, keys.argsort(axis=1, kind="stable"), axis=1)
        shared = (candidates[:, None] == orders).cumprod(axis=2, dtype=np.int8).sum(axis=2).max(axis=1)
        costs = n - shared
        fits = (costs > 0) & (costs <= left)
        if not fits.any():
            return orders
        candidates, costs = candidates[fits], costs[fits]
        chosen = (model.gains(orders, candidates) / costs**power).argmax()
        orders, left = np.vstack([orders, candidates[chosen]]), left - int(costs[chosen])
