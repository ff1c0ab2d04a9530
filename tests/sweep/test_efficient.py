"""Efficient designs, and the criterion by which they are chosen."""

from itertools import combinations, pairwise, permutations

import numpy as np
import pytest

from stiltwalk.sweep.designs import make_orders
from stiltwalk.sweep.efficient import mean_contrast_variance
from stiltwalk.sweep.trie import count_trainings, depth_first
from stiltwalk.utils.errors import InputError

SIX = ["mnli", "anli_plus", "qqp", "squad", "squad2", "hellaswag"]


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


@pytest.mark.parametrize("n", [5, 6])
def test_the_efficient_design_beats_williams_at_equal_trainings(n):
    williams = make_orders("williams", SIX[:n])
    budget = count_trainings(williams)
    orders = make_orders(f"efficient:{budget}", SIX[:n], seed=1)
    assert count_trainings(orders) <= budget and orders == depth_first(orders)
    assert mean_contrast_variance(orders) < 0.95 * mean_contrast_variance(williams)
    assert orders == make_orders(f"efficient:{budget}", SIX[:n], seed=1)
    assert len({order[0] for order in orders}) > 1  # a task that is first in every order is compared with nothing


@pytest.mark.parametrize("budget", range(3, 16, 2))
def test_the_efficient_design_is_optimal_for_three_tasks(budget):
    orders = list(permutations("abc"))
    subsets = (subset for size in range(1, 7) for subset in combinations(orders, size))
    affordable = (subset for subset in subsets if count_trainings(subset) <= budget)
    lowest = min(map(mean_contrast_variance, affordable))
    assert mean_contrast_variance(make_orders(f"efficient:{budget}", "abc")) == pytest.approx(lowest)


def test_the_criterion_needs_complete_orders_of_the_same_tasks():
    for orders in ([], [()], [("a",)], [("a", "b"), ("a",)], [("a", "b"), ("a", "c")], [("a", "a")]):
        with pytest.raises(InputError, match="give complete orders of the same tasks"):
            mean_contrast_variance(orders)
