"""The trie of orders: what they share, in which sequence they run, and how it is drawn."""

from stiltwalk.sweep.designs import make_orders
from stiltwalk.sweep.trie import depth_first, draw_tree, independent_groups, prefixes

ORDERS = [("b", "a"), ("a", "c"), ("b", "c", "a"), ("a",), (), ("b", "a", "c"), ("a", "c")]


def test_orders_that_share_steps_are_adjacent():
    arranged = [(), ("b", "a"), ("b", "a", "c"), ("b", "c", "a"), ("a",), ("a", "c")]
    assert depth_first(ORDERS) == arranged
    assert independent_groups(ORDERS) == [arranged[:1], arranged[1:4], arranged[4:]]
    assert prefixes(ORDERS) == [("b",), *arranged[1:3], ("b", "c"), *arranged[3:]]


def test_the_tree_is_drawn():
    expected = """\
encoder ●   (● an order of the plan)
├── b
│   ├── a ● → c ●
│   └── c → a ●
└── a ● → c ●
7 trainings for 6 orders of 11 steps"""
    assert draw_tree(ORDERS) == expected
    assert draw_tree(ORDERS, lines=3).splitlines()[3:] == ["… 2 more lines", "7 trainings for 6 orders of 11 steps"]
    assert draw_tree(make_orders("all", "abc")).splitlines()[-1] == "15 trainings for 6 orders of 18 steps"
    assert draw_tree([("a",)]).splitlines()[1:] == ["└── a ●", "1 training for 1 order of 1 step"]
