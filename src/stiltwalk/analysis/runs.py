"""Which runs of a group of experiments are analysed."""

from collections import Counter
from collections.abc import Iterable, Sequence

from stiltwalk.sweep.experiments import Experiment


def find_permuted_tasks(experiments: Iterable[Experiment]) -> list[str]:
    """Return the set of steps that has the most orders, sorted; empty if no order has two different steps."""
    orders = {experiment.order for experiment in experiments}
    sets = Counter(frozenset(order) for order in orders if len(order) > 1 and len(set(order)) == len(order))
    best = max(sets, key=lambda steps: (sets[steps], len(steps), sorted(steps)), default=frozenset[str]())
    return sorted(best)


def select_common_seeds(experiments: Sequence[Experiment]) -> tuple[list[Experiment], list[Experiment]]:
    """Split experiments into those whose seed most orders have, and the rest.

    A seed is common if it has at least half as many experiments as the most frequent seed. The other seeds would leave
    most of their cells missing.
    """
    counts = Counter(experiment.seed for experiment in experiments)
    common = {seed for seed, number in counts.items() if 2 * number >= max(counts.values())}
    selected = [experiment for experiment in experiments if experiment.seed in common]
    return selected, [experiment for experiment in experiments if experiment.seed not in common]
