"""The trie of orders: what orders with a common prefix share, and how to traverse it.

An order is a tuple of steps; the empty tuple is the baseline. Training an order trains each of its non-empty prefixes.
For one seed, a prefix that several orders share is trained once, so a node of the trie is one training.
"""

from collections.abc import Container, Iterable, Iterator
from typing import TypeAlias

from stiltwalk.utils.text import count

Order: TypeAlias = tuple[str, ...]
Node: TypeAlias = dict[str, "Node"]


def prefixes(orders: Iterable[Order]) -> list[Order]:
    """List the distinct non-empty prefixes of the orders, depth first, with siblings as first seen."""
    return list(_walk(_build_trie(orders), ()))


def count_trainings(orders: Iterable[Order]) -> int:
    """Count the trainings that the orders take together, for one seed."""
    return len({order[:length] for order in orders for length in range(1, len(order) + 1)})


def depth_first(orders: Iterable[Order]) -> list[Order]:
    """Sort the distinct orders depth first: orders with a common prefix are adjacent, a prefix precedes its extensions.

    Siblings stay as first seen. Run in this sequence, an order needs only checkpoints on the path of the order before
    it.
    """
    distinct = dict.fromkeys(orders)
    return [path for path in [(), *prefixes(distinct)] if path in distinct]


def draw_tree(orders: Iterable[Order], lines: int = 60) -> str:
    """Draw the trie as text and summarise below it how many trainings the orders share.

    A dot marks an order, and steps without a fork share a line. A tree of more than `lines` lines is cut, and a last
    line says how many lines are missing.
    """
    marked = dict.fromkeys(orders)
    root = "encoder ●" if () in marked else "encoder"
    tree = [f"{root}   (● an order of the plan)", *_draw_children(_build_trie(marked), (), marked, "")]
    if len(tree) > lines:
        tree[lines:] = [f"… {count(len(tree) - lines, 'more line')}"]
    steps, trainings = count(sum(map(len, marked)), "step"), count(count_trainings(marked), "training")
    have = "has" if len(marked) == 1 else "have"
    summary = f"{count(len(marked), 'order')} {have} {steps}; shared prefixes leave {trainings}"
    return "\n".join([*tree, summary])


def _build_trie(orders: Iterable[Order]) -> Node:
    root: Node = {}
    for order in orders:
        node = root
        for step in order:
            node = node.setdefault(step, {})
    return root


def _walk(node: Node, path: Order) -> Iterator[Order]:
    """Yield the paths of all nodes below this one, depth first."""
    for step, child in node.items():
        yield (*path, step)
        yield from _walk(child, (*path, step))


def _draw_children(node: Node, path: Order, marked: Container[Order], indent: str) -> Iterator[str]:
    for number, (step, child) in enumerate(node.items(), start=1):
        end, labels = path, []
        while True:
            end = (*end, step)
            labels.append(f"{step} ●" if end in marked else step)
            if len(child) != 1:
                break
            step, child = next(iter(child.items()))
        is_last = number == len(node)
        yield f"{indent}{'└── ' if is_last else '├── '}{' → '.join(labels)}"
        yield from _draw_children(child, end, marked, indent + ("    " if is_last else "│   "))
