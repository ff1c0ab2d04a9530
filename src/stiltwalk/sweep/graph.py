"""The tasks of a sweep: what runs as one job, and after which others. All engines run the same tasks.

A task is one or more `dvc exp run` in a clone of its own. There are three kinds: `shared` makes the encoder and the
data; a step is a prefix of an order that at least two orders share; an experiment is an order with a seed, and trains
the steps that only it has. Each runs after the longest shared prefix above it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from stiltwalk.sweep.plan import Sweep
from stiltwalk.sweep.stages import Stage, stages_of, stages_to_share
from stiltwalk.sweep.trie import Order


@dataclass(frozen=True)
class Part:
    """One `dvc exp run`."""

    order: Order
    seed: int
    stages: tuple[Stage, ...] = field(repr=False)


@dataclass(frozen=True)
class Task:
    """What runs as one job."""

    name: str
    after: tuple[str, ...]
    """The names of the tasks that it needs."""
    parts: tuple[Part, ...]
    experiment: str = ""
    """The name of the experiment; empty for the shared stages and for a step."""
    is_shared: bool = False
    """Whether it makes the shared stages, for which compute nodes may lack the network."""


def build_tasks(sweep: Sweep, done: Set[tuple[Order, int]]) -> list[Task]:
    """Return what is left of a sweep, each task after those that it needs. done: the experiments that have finished."""
    shared = tuple(Part(order, sweep.seeds[0], tuple(stages)) for order, stages in stages_to_share(sweep, done))
    tasks = [Task(f"{sweep.prefix}shared", (), shared, is_shared=True)] if shared else []
    first = tuple(task.name for task in tasks)
    for seed in sweep.seeds:
        orders = [order for order in sweep.orders if (order, seed) not in done]
        steps: dict[Order, tuple[str, ...]] = {(): first}  # what an order that begins so has to wait for
        for prefix, order in find_forks(orders).items():
            stages = tuple(stage for stage in stages_of(sweep, order, seed) if stage.trains_prefix_of(prefix))
            name = f"{sweep.prefix}step-{'-'.join(prefix)}-s{seed}"
            tasks.append(Task(name, _find_longest(prefix, steps), (Part(order, seed, stages),)))
            steps[prefix] = (name,)
        for order in orders:
            part = Part(order, seed, tuple(stages_of(sweep, order, seed)))
            name = sweep.name(order, seed)
            tasks.append(Task(name, _find_longest(order, steps), (part,), name))
    return tasks


def find_forks(orders: Sequence[Order]) -> dict[Order, Order]:
    """Return the prefixes that at least two orders share, the short ones first, each with the first order that has it.

    A prefix is left out if all its orders share a longer one.
    """
    counts: Counter[Order] = Counter()
    first: dict[Order, Order] = {}
    for order in orders:
        for length in range(1, len(order) + 1):
            counts[order[:length]] += 1
            first.setdefault(order[:length], order)
    covered = {prefix[:-1] for prefix, n in counts.items() if counts[prefix[:-1]] == n}
    return {
        prefix: first[prefix] for prefix, n in sorted(counts.items(), key=_length) if n > 1 and prefix not in covered
    }


def _length(item: tuple[Order, int]) -> int:
    return len(item[0])


def _find_longest(order: Order, steps: Mapping[Order, tuple[str, ...]]) -> tuple[str, ...]:
    """Return what `steps` has for the longest prefix of the order."""
    return next(steps[order[:length]] for length in range(len(order), -1, -1) if order[:length] in steps)
