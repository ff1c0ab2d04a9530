"""The trie of orders: what they share, in which sequence they run, and how it is drawn."""

from stiltwalk.sweep.designs import make_orders
from stiltwalk.sweep.trie import depth_first, draw_tree, prefixes

ORDERS = [("b", "a"), ("a", "c"), ("b", "c", "a"), ("a",), (), ("b", "a", "c"), ("a", "c")]


def test_orders_that_share_steps_are_adjacent():
    arranged = [(), ("b", "a"), ("b", "a", "c"), ("b", "c", "a"), ("a",), ("a", "c")]
    assert depth_first(ORDERS) == arranged
    assert prefixes(ORDERS) == [("b",), *arranged[1:3], ("b", "c"), *arranged[3:]]


def test_the_tree_is_drawn():
    expected = """\
encoder ●   (● an order of the plan)
├── b
│   ├── a ● → c ●
│   └── c → a ●
└── a ● → c ●
6 orders have 11 steps; shared prefixes leave 7 trainings"""
    assert draw_tree(ORDERS) == expected
    assert draw_tree(ORDERS, lines=3).splitlines()[3:] == [
        "… 2 more lines",
        "6 orders have 11 steps; shared prefixes leave 7 trainings",
    ]
    assert (
        draw_tree(make_orders("all", "abc")).splitlines()[-1]
        == "6 orders have 18 steps; shared prefixes leave 15 trainings"
    )
    assert draw_tree([("a",)]).splitlines()[1:] == ["└── a ●", "1 order has 1 step; shared prefixes leave 1 training"]
