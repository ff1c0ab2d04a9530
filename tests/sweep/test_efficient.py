"""Efficient designs, and the criterion by which they are chosen."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations, pairwise, permutations, takewhile

import numpy as np
import pytest

from stiltwalk.analysis.contrasts import assess_estimability
from stiltwalk.sweep.designs import make_orders
from stiltwalk.sweep.efficient import EffectModel, symmetric_batches
from stiltwalk.sweep.trie import Order, count_trainings, depth_first

SIX = ["mnli", "anli_plus", "qqp", "squad", "squad2", "hellaswag"]


def mean_contrast_variance(orders: Sequence[Order]) -> float:
    tasks = sorted(orders[0])
    return EffectModel(len(tasks)).variance(np.array([[tasks.index(task) for task in order] for order in orders]))


def test_the_criterion_is_the_mean_posterior_variance_of_all_contrasts():
    """Compute the posterior of the cells instead of the free values: here the prior's covariance has the zero sums."""
    n, orders = 4, make_orders("random:7", "0123", seed=1)
    centre = np.eye(n) - 1 / n
    pairs = list(permutations(range(n), 2))
    ends = np.array(
        [[first == task for task in range(n)] + [last == task for task in range(n)] for first, last in pairs]
    )
    carry = np.eye(len(pairs)) - ends @ np.linalg.pinv(ends.astype(float))
    prior = np.zeros((n * n + len(pairs),) * 2)
    prior[: n * n, : n * n], prior[n * n :, n * n :] = np.kron(centre, centre), carry
    x = np.zeros((len(orders), len(prior)))
    for row, order in zip(x, [[int(task) for task in order] for order in orders], strict=True):
        row[[task * n + position for position, task in enumerate(order)]] = 1
        row[[n * n + pairs.index((before, after)) for before, after in pairwise(order)]] = 1
    scores = x @ prior @ x.T + np.eye(len(orders)) + 1e6  # any mean
    cells = prior - prior @ x.T @ np.linalg.inv(scores) @ x @ prior
    contrasts = [(task * n + p, task * n + q) for task in range(n) for p, q in combinations(range(n), 2)]
    for after in range(n):
        places = [n * n + index for index, pair in enumerate(pairs) if pair[1] == after]
        contrasts += combinations(places, 2)
    variances = [cells[a, a] + cells[b, b] - 2 * cells[a, b] for a, b in contrasts]
    assert mean_contrast_variance(orders) == pytest.approx(np.mean(variances), rel=1e-4)


def answers(orders):
    """What the analysis can estimate from the orders, in numbers that only grow if it can estimate more."""
    estimable = assess_estimability([",".join(order) for order in orders], sorted(orders[0]))
    return np.array([estimable.positions, estimable.pairs, not estimable.middle_alike])


@pytest.mark.parametrize(("n", "most"), [(3, 15), (4, 64), (5, 325), (6, 300)])
def test_a_larger_budget_adds_orders_and_determines_no_less(n, most):
    """Tested just below and at every budget that pays for one batch more, which between them are all designs."""
    tasks = SIX[:n]
    enough = [trainings for trainings, _ in takewhile(lambda batch: batch[0] <= most, symmetric_batches(n))]
    smaller, known = set(make_orders(f"efficient:{n}", tasks)), np.zeros(3)
    for trainings in enough:
        orders, cheaper = (make_orders(f"efficient:{budget}", tasks) for budget in (trainings, trainings - 1))
        assert orders == depth_first(orders) and set(cheaper) < set(orders)
        assert count_trainings(orders) == trainings and smaller <= set(cheaper)
        if known.tolist() != [n, n * (n - 1) * (n > 3), 1]:
            assert (answers(orders) >= known).all()
            known = answers(orders)
        smaller = set(orders)
    assert known.tolist() == [n, n * (n - 1) * (n > 3), 1]
    assert n == 6 or smaller == set(permutations(tasks))


@pytest.mark.parametrize(
    ("n", "trainings"),
    [(4, [24, 36, 44]), (5, [35, 60, 95]), (6, [48, 96, 162])],
    ids=["four tasks", "five tasks", "six tasks"],
)
def test_the_budgets_from_which_effects_are_determined(n, trainings):
    """Positions, then carry-over, then all middle positions. For four tasks no cyclic design needs fewer trainings."""
    for budget, one_more in zip(trainings, [[n, 0, 0], [n, n * (n - 1), 0], [n, n * (n - 1), 1]], strict=True):
        assert answers(make_orders(f"efficient:{budget}", SIX[:n])).tolist() == one_more
        assert (answers(make_orders(f"efficient:{budget - 1}", SIX[:n])) != one_more).any()


def shape(orders, depth=0):
    """The shape of the tree of these orders below a depth: the sorted shapes of its branches."""
    steps = {order[depth] for order in orders if len(order) > depth}
    return sorted(shape([order for order in orders if order[depth] == step], depth + 1) for step in steps)


@pytest.mark.parametrize(("n", "budget"), [(3, 9), (4, 24), (4, 40), (5, 35), (5, 118), (6, 300), (9, 99)])
def test_first_tasks_are_exchangeable(n, budget):
    tasks = [*SIX, "ccg", "cosmosqa", "commonsenseqa"][:n]
    orders = make_orders(f"efficient:{budget}", tasks)
    subtrees = shape(orders)
    assert len(subtrees) == n and all(subtree == subtrees[0] for subtree in subtrees)
    following = {task: tasks[(number + 1) % n] for number, task in enumerate(tasks)}
    assert {tuple(following[task] for task in order) for order in orders} == set(orders)
    assert len({Counter(order[p] for order in orders)[task] for task in tasks for p in range(n)}) == 1


def test_a_budget_below_the_first_batch_starts_with_different_tasks():
    for budget in range(5, 25):
        orders = make_orders(f"efficient:{budget}", SIX[:5])
        assert len({order[0] for order in orders}) == len(orders) == budget // 5
        assert set(orders) <= set(make_orders("williams", SIX[:5]))


@pytest.mark.parametrize(("budget", "best", "bound"), [(16, 1.1510, 1.005), (24, 0.8360, 1.0001), (40, 0.5000, 1.12)])
def test_the_criterion_is_near_that_of_the_best_symmetric_design_of_one_budget(budget, best, bound):
    """The best of 20,000 random designs of four tasks whose first tasks have subtrees of the same shape.

    They are neither cyclic nor nested. At 40 trainings the nested design spends 36, and determines carry-over.
    """
    variance = mean_contrast_variance(make_orders(f"efficient:{budget}", "abcd"))
    assert 0.9999 < variance / best < bound
