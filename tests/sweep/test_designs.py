"""Designs of orders, what they say of order, their controls, and the trie of their steps."""

from itertools import combinations, pairwise, permutations

import numpy as np
import pytest

from stiltwalk.sweep.designs import CONTROLS, balance, controls, make_orders, variance_of
from stiltwalk.sweep.trie import branches, depth_first, draw, prefixes, trainings
from stiltwalk.utils.errors import InputError

NINE = ["mnli", "anli_plus", "qqp", "squad", "squad2", "hellaswag", "ccg", "cosmosqa", "commonsenseqa"]


@pytest.mark.parametrize("n", range(2, 10))
def test_williams_is_balanced_for_position_and_neighbours(n):
    orders = make_orders("williams", NINE[:n])
    each = 1 if n % 2 == 0 else 2
    positions, neighbours = balance(orders)
    assert len(set(orders)) == len(orders) == each * n
    assert positions.shape == (n, n) and (positions == each).all(axis=None)
    assert (neighbours.to_numpy() == each * (1 - np.eye(n))).all()


def test_the_other_designs():
    assert make_orders("latin", "abc") == [tuple("abc"), tuple("bca"), tuple("cab")]
    assert len(make_orders("all", "abcd")) == 24
    assert make_orders("prefixes", "ab") == [("a",), ("b",), ("a", "b"), ("b", "a")]
    drawn = make_orders("random:24", "abcd", seed=3)
    assert sorted(drawn) == make_orders("all", "abcd")
    assert make_orders("random:5", NINE, seed=3) == make_orders("random:5", NINE, seed=3)
    assert make_orders("random:5", NINE, seed=3) != make_orders("random:5", NINE, seed=4)


@pytest.mark.parametrize(
    ("design", "n", "steps", "shared"),
    [
        *(("all", n, None, shared) for n, shared in ((3, 15), (4, 64), (5, 325), (6, 1956))),
        ("prefixes", 5, None, 325),
        ("williams", 9, 162, 153),
        ("latin", 9, 81, 81),
        ("pairs", 9, 144, 81),
    ],
)
def test_trainings_of_known_designs(design, n, steps, shared):
    orders = make_orders(design, NINE[:n])
    assert trainings(orders) == len(prefixes(orders)) == len(set(prefixes(orders))) == shared
    assert steps is None or sum(map(len, orders)) == steps


def test_variance_is_the_mean_over_contrasts_written_out():
    """The posterior of cells, not of free values: sums to zero are in the prior's covariance."""
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
    assert variance_of(orders) == pytest.approx(np.mean(variances), rel=1e-4)


@pytest.mark.parametrize("n", [5, 6])
def test_the_efficient_design_beats_williams_at_equal_trainings(n):
    williams = make_orders("williams", NINE[:n])
    budget = trainings(williams)
    found = make_orders(f"efficient:{budget}", NINE[:n], seed=1)
    assert trainings(found) <= budget and found == depth_first(found)
    assert variance_of(found) < 0.95 * variance_of(williams)
    assert found == make_orders(f"efficient:{budget}", NINE[:n], seed=1)
    assert len({order[0] for order in found}) > 1  # what stands first everywhere is not compared with anything


@pytest.mark.parametrize("budget", range(3, 16, 2))
def test_the_efficient_design_is_the_best_of_all_for_three_tasks(budget):
    orders = list(permutations("abc"))
    sets = (some for size in range(1, 7) for some in combinations(orders, size) if trainings(some) <= budget)
    assert variance_of(make_orders(f"efficient:{budget}", "abc")) == pytest.approx(min(map(variance_of, sets)))


def test_controls_are_those_not_planned_yet():
    orders = [("a", "b", "c"), ("c", "b", "a"), ("b", "c"), ("a",)]
    assert controls(orders, "abc") == [(), ("b",), ("c",), ("a+b+c",), ("c", "b"), ("null",)]
    assert controls(orders, "abc", ["reverse"]) == [("c", "b")]
    with pytest.raises(InputError, match="unknown kind 'singel'; the kinds are baseline, single, joint, reverse, null"):
        controls(orders, "abc", [*CONTROLS, "singel"])


@pytest.mark.parametrize(
    ("design", "tasks", "message"),
    [
        ("wiliams", "abc", "design='wiliams' is unknown; the designs are all, williams"),
        ("williams:3", "abc", "design='williams:3' is unknown"),
        ("random", "abc", "design='random' is unknown; .* random:K"),
        (None, "abc", "design=None is unknown"),
        ("random:x", "abc", "design='random:x' has no whole number above 0 after ':'; the designs are"),
        ("efficient:-9", "abc", "has no whole number above 0"),
        ("random:0", "abc", "has no whole number above 0"),
        ("random:7", "abc", "wants 7 orders, but 3 tasks have 6"),
        ("all", "abca", "names 'a' twice"),
        ("all", "", r"needs at least 1 task\(s\), tasks=\[\] has 0"),
        ("pairs", "a", r"needs at least 2 task\(s\)"),
        ("all", NINE, "of 9 tasks is 362880 orders, more than 5040; write 'random:K' .* 'efficient:N'"),
        ("prefixes", NINE, "is 986409 orders"),
        ("efficient:8", NINE, "a budget of 8 trainings; 9 tasks take 9 for one order .* from 9 to 1000"),
        ("efficient:16", "abc", "from 3 to 15"),
    ],
)
def test_a_bad_design_is_named(design, tasks, message):
    with pytest.raises(InputError, match=message) as error:
        make_orders(design, tasks)
    assert "\n" not in str(error.value)


def test_only_whole_orders_of_one_design_have_a_variance():
    for orders in ([], [()], [("a",)], [("a", "b"), ("a",)], [("a", "b"), ("a", "c")], [("a", "a")]):
        with pytest.raises(InputError, match="give whole orders of one design"):
            variance_of(orders)


ORDERS = [("b", "a"), ("a", "c"), ("b", "c", "a"), ("a",), (), ("b", "a", "c"), ("a", "c")]


def test_orders_that_share_steps_follow_each_other():
    arranged = [(), ("b", "a"), ("b", "a", "c"), ("b", "c", "a"), ("a",), ("a", "c")]
    assert depth_first(ORDERS) == arranged
    assert branches(ORDERS) == [arranged[:1], arranged[1:4], arranged[4:]]
    assert prefixes(ORDERS) == [("b",), *arranged[1:3], ("b", "c"), *arranged[3:]]


def test_the_tree_is_drawn():
    expected = """\
encoder ●   (● an order of the plan)
├── b
│   ├── a ● → c ●
│   └── c → a ●
└── a ● → c ●
7 trainings for 6 orders of 11 steps"""
    assert draw(ORDERS) == expected
    assert draw(ORDERS, lines=3).splitlines()[3:] == ["… 2 more lines", "7 trainings for 6 orders of 11 steps"]
    assert draw(make_orders("all", "abc")).splitlines()[-1] == "15 trainings for 6 orders of 18 steps"
    assert draw([("a",)]).splitlines()[1:] == ["└── a ●", "1 training for 1 order of 1 step"]
