"""The trie of the orders' steps: what orders that begin alike share, and how to go through it.

An order is a tuple of steps, () the baseline. Training an order trains every non-empty prefix of it, and a prefix that
several orders have is trained once (for one seed): a node of the trie is one training.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from math import factorial, prod
from typing import TypeAlias

from stiltwalk.report.looks import count

Order: TypeAlias = tuple[str, ...]
Node: TypeAlias = dict[str, "Node"]


def prefixes(orders: Iterable[Order]) -> list[Order]:
    """The distinct non-empty prefixes, depth first; siblings as first seen."""
    return list(_below(_trie(orders), ()))


def trainings(orders: Iterable[Order]) -> int:
    """How many trainings the orders take together, for one seed."""
    return len({order[:length] for order in orders for length in range(1, len(order) + 1)})


def depth_first(orders: Iterable[Order]) -> list[Order]:
    """The distinct orders, arranged so that those below one prefix follow each other, a prefix before what extends it.

    Siblings stay as first seen. Run so, an order needs only checkpoints on the path of the one before it.
    """
    wanted = dict.fromkeys(orders)
    return [path for path in [(), *prefixes(wanted)] if path in wanted]


def branches(orders: Iterable[Order]) -> list[list[Order]]:
    """Groups of orders that share no training with another group, to run in parallel: by first step, () alone."""
    return [list(group) for _, group in groupby(depth_first(orders), key=lambda order: order[:1])]


def symmetries(orders: Iterable[Order]) -> int:
    """How many ways there are to exchange whole branches that look alike: of a seed's runs, what a test may permute."""
    return _symmetries(_trie(orders))[0]


def distinct(orders: Iterable[Order], seeds: int) -> int:
    """How many permutations of so many seeds' runs a test can tell apart: its p is 1 over that at the least.

    Exchanging the same branches in all seeds renames the orders, so that those of one seed do not count.
    """
    return symmetries(orders) ** (seeds - 1)


def draw(orders: Iterable[Order], lines: int = 60) -> str:
    """The trie as text, orders marked by a dot, steps without a fork on one line; below it what sharing saves.

    The tree is cut after so many `lines`, with a line that says how many more there are.
    """
    marked = dict.fromkeys(orders)
    root = "encoder ●" if () in marked else "encoder"
    tree = [f"{root}   (● an order of the plan)", *_drawn(_trie(marked), (), marked, "")]
    if len(tree) > lines:
        tree[lines:] = [f"… {count(len(tree) - lines, 'more line')}"]
    counts = (trainings(marked), "training"), (len(marked), "order"), (sum(map(len, marked)), "step")
    return "\n".join([*tree, "{} for {} of {}".format(*(count(*one) for one in counts))])


def _trie(orders: Iterable[Order]) -> Node:
    root: Node = {}
    for order in orders:
        node = root
        for step in order:
            node = node.setdefault(step, {})
    return root


def _below(node: Node, path: Order) -> Iterator[Order]:
    for step, child in node.items():
        yield (*path, step)
        yield from _below(child, (*path, step))


def _symmetries(node: Node) -> tuple[int, str]:
    """With the node's shape, which is the same text for the same shape."""
    below = [_symmetries(child) for child in node.values()]
    shapes = sorted(shape for _, shape in below)
    alike = prod(factorial(number) for number in Counter(shapes).values())
    return alike * prod(number for number, _ in below), "".join(shapes).join("()")


def _drawn(node: Node, above: Order, marked: Iterable[Order], indent: str) -> Iterator[str]:
    for number, (step, child) in enumerate(node.items(), start=1):
        path, labels = above, []
        while True:
            path = (*path, step)
            labels.append(f"{step} ●" if path in marked else step)
            if len(child) != 1:
                break
            step, child = next(iter(child.items()))
        last = number == len(node)
        yield f"{indent}{'└── ' if last else '├── '}{' → '.join(labels)}"
        yield from _drawn(child, path, marked, indent + ("    " if last else "│   "))
