"""Designs: which orders of some tasks to train, and the controls that a claim about order needs."""

import random
from collections.abc import Iterable, Sequence
from itertools import permutations
from math import perm

import numpy as np

from stiltwalk.sweep.efficient import efficient_orders, relabel, zigzag
from stiltwalk.sweep.trie import Order
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.text import count

DESIGNS = ("all", "williams", "latin", "random:K", "prefixes", "pairs", "efficient:N")
CONTROLS = ("baseline", "single", "joint", "reverse", "null")
MAX_ORDERS = 5040  # all orders of seven tasks
MAX_BUDGET = 1000  # the largest N of `efficient:N`


def make_orders(design: str, tasks: Sequence[str], seed: int = 0) -> list[Order]:
    """Make the distinct orders of a design.

    - all: every permutation.
    - latin: the cyclic Latin square, with every task once in each position.
    - williams: a square that also has every ordered pair of neighbours equally often; n orders for even n and 2n for
      odd n (Williams 1949, Australian Journal of Scientific Research A2).
    - random:K: K permutations, drawn with `seed`.
    - prefixes: every ordered selection of every length.
    - pairs: every ordered selection of two tasks.
    - efficient:N: permutations that take at most N trainings, chosen to estimate effects of order
      (`efficient.symmetric_batches`). A larger N adds orders and removes none. The budget counts intermediate trainings
      only; the more orders share them, the more orders there are to evaluate.

    Raises InputError for an unknown design, a number that does not fit the tasks, no tasks, repeated tasks, and a
    design of more than MAX_ORDERS orders.
    """
    tasks, n = tuple(tasks), len(tasks)
    name, number = _parse_design(design)
    _check_tasks(design, name, tasks)
    _check_size(design, name, number, n)
    match name:
        case "all":
            return list(permutations(tasks))
        case "williams":
            return [tuple(tasks[task] for task in row) for row in _williams_square(n)]
        case "latin":
            return [tasks[first:] + tasks[:first] for first in range(n)]
        case "random":
            return _draw_random_orders(tasks, number, seed)
        case "prefixes":
            return [order for length in range(1, n + 1) for order in permutations(tasks, length)]
        case "pairs":
            return list(permutations(tasks, 2))
        case _:
            return efficient_orders(tasks, number)


def make_controls(
    orders: Iterable[Order], tasks: Sequence[str], control_names: Iterable[str] = CONTROLS
) -> list[Order]:
    """Make the controls that a claim about these orders of `tasks` needs, except those already among the orders.

    - baseline: no intermediate training.
    - single: each task alone.
    - joint: all tasks in one step, and so in no order.
    - reverse: each order backwards.
    - null: a task with shuffled labels.

    Raises InputError for an unknown control name.
    """
    orders = list(orders)
    controls: dict[str, list[Order]] = {
        "baseline": [()],
        "single": [(task,) for task in tasks],
        "joint": [("+".join(tasks),)],
        "reverse": [order[::-1] for order in orders],
        "null": [("null",)],
    }
    control_names, planned = list(control_names), set(orders)
    if unknown := [name for name in control_names if name not in controls]:
        raise InputError(f"controls has the unknown control {unknown[0]!r}; the controls are {', '.join(CONTROLS)}")
    distinct = dict.fromkeys(order for name in control_names for order in controls[name])
    return [order for order in distinct if order not in planned]


def _parse_design(design: str) -> tuple[str, int]:
    """Split `random:8` into its name and number; the number is 0 for a design without one."""
    name, colon, number = str(design).partition(":")
    if (f"{name}:" if colon else name) not in [known.rstrip("KN") for known in DESIGNS]:
        raise InputError(f"design={design!r} is unknown; the designs are {', '.join(DESIGNS)}")
    if colon and not (number.isdecimal() and int(number)):
        raise InputError(
            f"design={design!r} needs a whole number above 0 after ':'; the designs are {', '.join(DESIGNS)}"
        )
    return name, int(number or 0)


def _check_tasks(design: str, name: str, tasks: Order) -> None:
    if repeated := [task for task in tasks if tasks.count(task) > 1]:
        raise InputError(f"tasks contains '{repeated[0]}' twice; design={design!r} needs distinct tasks")
    least = 2 if name in ("pairs", "efficient") else 1
    if len(tasks) < least:
        raise InputError(
            f"design={design!r} needs at least {count(least, 'task')}, but tasks={list(tasks)} has {len(tasks)}; "
            "add more"
        )


def _check_size(design: str, name: str, number: int, n: int) -> None:
    """Raise InputError for more orders than n tasks have, too many orders, or a training budget out of range."""
    nodes = sum(perm(n, length) for length in range(1, n + 1))
    size = {"all": perm(n), "prefixes": nodes, "random": number}.get(name, 0)
    if name == "random" and size > perm(n):
        raise InputError(
            f"design={design!r} asks for {number} orders, more than the {perm(n)} of {count(n, 'task')}; "
            "use 'all' or a smaller number"
        )
    if size > MAX_ORDERS:
        raise InputError(
            f"design={design!r} of {n} tasks has {size} orders, and the most is {MAX_ORDERS}; use 'random:K' for K "
            "random orders, or 'efficient:N' for informative orders that N trainings pay for"
        )
    most = min(nodes, MAX_BUDGET)
    if name == "efficient" and not n <= number <= most:
        raise InputError(
            f"design={design!r} has a budget of {number} trainings, but {n} tasks need {n} for one order and {nodes} "
            f"for all; use a number from {n} to {most}"
        )


def _williams_square(n: int) -> list[list[int]]:
    """Return the rows of a Williams square as task numbers: n rows for even n, 2n for odd n."""
    rows = relabel(np.array(zigzag(n))).tolist()
    return rows + [row[::-1] for row in rows] if n % 2 and n > 1 else rows


def _draw_random_orders(tasks: Order, number: int, seed: int) -> list[Order]:
    rng = random.Random(seed)
    drawn: dict[Order, None] = {}
    while len(drawn) < number:
        drawn[tuple(rng.sample(tasks, len(tasks)))] = None
    return list(drawn)
