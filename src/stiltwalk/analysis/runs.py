"""Which runs of a group of experiments are analysed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stiltwalk.sweep.experiments import Experiment
from stiltwalk.sweep.trie import Order


def find_permuted_tasks(orders: Iterable[Order]) -> list[str]:
    """Return the set of steps that has the most orders, sorted; empty if there are none.

    Orders of one step and orders that repeat a step do not count.
    """
    sets = Counter(frozenset(order) for order in set(orders) if len(order) > 1 and len(set(order)) == len(order))
    best = max(sets, key=lambda steps: (sets[steps], len(steps), sorted(steps)), default=frozenset[str]())
    return sorted(best)


def merge_runs(runs: Sequence[Experiment]) -> Experiment:
    """Return one run of an order, seed and settings with the targets of all of them, each as its latest run scored it.

    runs: oldest first. A later run may have fewer targets; it has repeated the same steps. Averages over targets are
    those of the latest run.
    """
    latest = runs[-1]
    plan: dict[str, Any] = {}
    tasks: dict[str, Any] = {}
    scores: dict[str, Any] = {}
    steps: dict[str, dict[str, Any]] = {}
    flags: dict[str, str] = {}
    outputs: dict[str, str] = {}
    for run in runs:
        plan |= run.params["plan"]["targets"]
        tasks |= run.summary["tasks"]
        scores |= run.cells["targets"]
        outputs |= run.outputs
        for step, probe in run.cells["steps"].items():
            trajectory = probe.get("trajectory") or steps.get(step, {}).get("trajectory", [])  # needs Tatoeba
            steps[step] = probe | {"trajectory": trajectory}
        places = {*run.summary["tasks"], *run.cells["steps"]}
        flags = {place: flag for place, flag in flags.items() if place.split()[0] not in places}
        flags |= run.summary.get("flags", {})
    params = latest.params | {"plan": latest.params["plan"] | {"targets": plan}}
    summary = latest.summary | {"tasks": tasks, "flags": flags}
    return replace(latest, params=params, summary=summary, cells={"targets": scores, "steps": steps}, outputs=outputs)


def is_replaced(run: Experiment, later: Iterable[Experiment]) -> bool:
    """Return whether later runs of the same order and seed have all targets of a run."""
    return not _targets(run) - {target for one in later for target in _targets(one)}


def _targets(run: Experiment) -> set[str]:
    scores: Mapping[str, Any] = run.cells["targets"]
    return set(scores)


def select_common_seeds(experiments: Sequence[Experiment]) -> tuple[list[Experiment], list[Experiment]]:
    """Split experiments into those with a common seed, and the rest.

    A seed is common if it has at least half as many experiments as the most frequent seed. The other seeds would leave
    most of their cells missing.
    """
    counts = Counter(experiment.seed for experiment in experiments)
    common = {seed for seed, number in counts.items() if 2 * number >= max(counts.values())}
    selected = [experiment for experiment in experiments if experiment.seed in common]
    return selected, [experiment for experiment in experiments if experiment.seed not in common]
