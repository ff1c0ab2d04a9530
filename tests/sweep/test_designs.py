"""Designs of orders and their controls."""

from collections import Counter
from itertools import pairwise, permutations

import pytest

from stiltwalk.sweep.designs import CONTROLS, make_controls, make_orders
from stiltwalk.sweep.trie import count_trainings, prefixes
from stiltwalk.utils.errors import InputError

NINE = ["mnli", "anli_plus", "qqp", "squad", "squad2", "hellaswag", "ccg", "cosmosqa", "commonsenseqa"]


@pytest.mark.parametrize("n", range(2, 10))
def test_williams_is_balanced_for_position_and_neighbours(n):
    tasks = NINE[:n]
    orders = make_orders("williams", tasks)
    each = 1 if n % 2 == 0 else 2
    positions = Counter((task, position) for order in orders for position, task in enumerate(order))
    neighbours = Counter(pair for order in orders for pair in pairwise(order))
    assert len(set(orders)) == len(orders) == each * n
    assert positions == {(task, position): each for task in tasks for position in range(n)}
    assert neighbours == dict.fromkeys(permutations(tasks, 2), each)


def test_latin_all_prefixes_and_random_make_the_documented_orders():
    assert make_orders("latin", "abc") == [tuple("abc"), tuple("bca"), tuple("cab")]
    assert len(make_orders("all", "abcd")) == 24
    assert make_orders("prefixes", "ab") == [("a",), ("b",), ("a", "b"), ("b", "a")]
    drawn = make_orders("random:24", "abcd", seed=3)
    assert sorted(drawn) == make_orders("all", "abcd")
    assert make_orders("random:5", NINE, seed=3) == make_orders("random:5", NINE, seed=3)
    assert make_orders("random:5", NINE, seed=3) != make_orders("random:5", NINE, seed=4)


@pytest.mark.parametrize(
    ("design", "n", "steps", "trainings"),
    [
        *(("all", n, None, trainings) for n, trainings in ((3, 15), (4, 64), (5, 325), (6, 1956))),
        ("prefixes", 5, None, 325),
        ("williams", 9, 162, 153),
        ("latin", 9, 81, 81),
        ("pairs", 9, 144, 81),
    ],
)
def test_trainings_of_known_designs(design, n, steps, trainings):
    orders = make_orders(design, NINE[:n])
    assert count_trainings(orders) == len(prefixes(orders)) == len(set(prefixes(orders))) == trainings
    assert steps is None or sum(map(len, orders)) == steps


def test_controls_are_those_not_among_the_orders():
    orders = [("a", "b", "c"), ("c", "b", "a"), ("b", "c"), ("a",)]
    assert make_controls(orders, "abc") == [(), ("b",), ("c",), ("a+b+c",), ("c", "b"), ("null",)]
    assert make_controls(orders, "abc", ["reverse"]) == [("c", "b")]
    with pytest.raises(
        InputError, match="unknown control 'singel'; the controls are baseline, single, joint, reverse, null"
    ):
        make_controls(orders, "abc", [*CONTROLS, "singel"])


@pytest.mark.parametrize(
    ("design", "tasks", "message"),
    [
        ("wiliams", "abc", "design='wiliams' is unknown; the designs are all, williams"),
        ("williams:3", "abc", "design='williams:3' is unknown"),
        ("random", "abc", "design='random' is unknown; .* random:K"),
        (None, "abc", "design=None is unknown"),
        ("random:x", "abc", "design='random:x' needs a whole number above 0 after ':'; the designs are"),
        ("efficient:-9", "abc", "needs a whole number above 0"),
        ("random:0", "abc", "needs a whole number above 0"),
        ("random:7", "abc", "asks for 7 orders, more than the 6 of 3 tasks; use 'all' or a smaller number"),
        ("all", "abca", "tasks contains 'a' twice; design='all' needs distinct tasks"),
        ("all", "", r"needs at least 1 task, but tasks=\[\] has 0; add more"),
        ("pairs", "a", r"needs at least 2 tasks, but tasks=\['a'\] has 1; add more"),
        ("all", NINE, "of 9 tasks has 362880 orders, and the most is 5040; use 'random:K' .* 'efficient:N'"),
        ("prefixes", NINE, "has 986409 orders"),
        ("efficient:8", NINE, "has a budget of 8 trainings, but 9 tasks need 9 for one order .* from 9 to 1000"),
        ("efficient:16", "abc", "from 3 to 15"),
    ],
)
def test_a_bad_design_is_refused_in_one_line(design, tasks, message):
    with pytest.raises(InputError, match=message) as error:
        make_orders(design, tasks)
    assert "\n" not in str(error.value)
