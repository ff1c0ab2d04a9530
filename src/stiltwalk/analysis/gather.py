"""From experiments to the tables that statistics read: which compare orders, and what each one scored and kept."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

import pandas as pd

from stiltwalk.scoring.retention import main_score, retention_matrix, retention_measures
from stiltwalk.sweep.experiments import Experiment
from stiltwalk.sweep.trie import Order

ABSENT = "(not set)"
TOLD = ("notes", "leaked_by")  # facts of a task that are told and change nothing
PLACES = ("code", "files", "curves")  # of a block: where files lie, which follows from the rest and is told elsewhere
MADE_OF = ("source", "checkpoints", "world", "encoder", "mixtures", "benchmark")
SET = ("source", "checkpoints", "world", "encoder", "sample", "training", "kinds", "tasks", "xtreme")
MEASURES = ("average_accuracy", "backward_transfer", "forgetting", "forward_transfer")


@dataclass
class Group:
    """Experiments that differ in order and seed alone."""

    made_of: dict[str, Any]
    """What their scores are made of, every mixture and target whole."""
    set: dict[str, Any]
    """What was set in conf/ or by -S for that, by dotted name."""
    members: list[Experiment] = field(default_factory=list)
    own: list[Experiment] = field(default_factory=list)
    """Those that belong to no other group, or to this one first."""

    @property
    def size(self) -> int:
        """Orders and seeds that are its own, however often each was run."""
        return len({(one.order, one.seed) for one in self.own})

    def differences(self, other: "Group") -> list[str]:
        """Settings in which another group differs from this one, with its values; of what both use."""
        for mine, others in ((self.set, other.set), (flat(self.made_of), flat(other.made_of))):
            both = set(map(_block, mine)) & set(map(_block, others))
            names = [name for name in dict.fromkeys([*others, *mine]) if _block(name) in both]
            if found := [n for n in names if mine.get(n, ABSENT) != others.get(n, ABSENT)]:
                return [f"{name}={others.get(name, ABSENT)}" for name in found]
        return []


def alike(experiments: Iterable[Experiment]) -> list[Group]:
    """Experiments that differ in order and seed alone, group by group.

    One that uses nothing in which groups differ, as the baseline where a task was changed, belongs to each of them.
    """
    groups: list[Group] = []
    given = [(experiment, made_of(experiment.params)) for experiment in experiments]
    for experiment, mine in given:
        group = next((group for group in groups if _fits(group, mine)), None)
        if group is None:
            groups.append(group := Group({}, {}))
        group.own.append(experiment)
        group.made_of |= mine
        group.set |= {name: value for name, value in used(experiment.params).items() if name not in group.set}
    for experiment, mine in given:
        for group in groups:
            if _fits(group, mine):
                group.made_of |= mine
                group.members.append(experiment)
    return groups


def _fits(group: Group, mine: dict[str, Any]) -> bool:
    return all(group.made_of.get(name, value) == value for name, value in mine.items())


def made_of(params: dict[str, Any]) -> dict[str, Any]:
    """What an experiment's scores depend on besides order and seed; each mixture and target is one value."""
    found: dict[str, Any] = {}
    for group in MADE_OF:
        value = params.get(group)
        if group in ("mixtures", "benchmark"):
            found |= {f"{group}.{name}": _facts(name, block) for name, block in (value or {}).items()}
        else:
            found[group] = value
    return found


def _facts(name: str, block: dict[str, Any]) -> dict[str, Any]:
    """Of a mixture or target what bears on scores; that a target is tuned under its own name is no fact."""
    facts = {key: value for key, value in block.items() if key not in PLACES and (key, value) != ("tuned_as", name)}
    return _without_told(facts)  # type: ignore[no-any-return]


def used(params: dict[str, Any]) -> dict[str, Any]:
    """What is set in conf/ and by -S, by dotted name; of tasks and targets those that the experiment uses."""
    steps = ["null" if step is None else step for step in params["order"]]
    names = {
        "tasks": {task for step in steps for task in step.split("+")},
        "xtreme": set(params["benchmark"]),
    }
    told = {group: params[group] for group in SET if group in params}
    for group, wanted in names.items():
        told[group] = {name: _without_told(record) for name, record in params[group].items() if name in wanted}
    return flat(told)


def _without_told(block: Any) -> Any:
    if not isinstance(block, dict):
        return block
    return {name: _without_told(value) for name, value in block.items() if name not in TOLD}


def _block(name: str) -> str:
    """What is compared only where both have it: a task, a target, a mixture."""
    group, *rest = name.split(".")
    return ".".join([group, *rest[:1]]) if group in ("tasks", "xtreme", "mixtures", "benchmark") else group


def flat(value: dict[str, Any], above: str = "") -> dict[str, Any]:
    """The leaves of nested mappings under dotted names; a list is one."""
    found: dict[str, Any] = {}
    for key, below in value.items():
        name = f"{above}{key}"
        found |= flat(below, f"{name}.") if isinstance(below, dict) else {name: below}
    return found


def permuted(experiments: Iterable[Experiment]) -> list[str]:
    """The steps of which most orders are permutations; none where there are no two steps to permute."""
    orders = {experiment.order for experiment in experiments}
    sets = Counter(frozenset(order) for order in orders if len(order) > 1 and len(set(order)) == len(order))
    best = max(sets, key=lambda steps: (sets[steps], len(steps), sorted(steps)), default=frozenset())
    return sorted(best)


def of_common_seeds(experiments: Sequence[Experiment]) -> tuple[list[Experiment], list[Experiment]]:
    """Experiments of the seeds that most orders have; and the others, which alone in their seed would leave holes."""
    orders = Counter(experiment.seed for experiment in experiments)
    common = {seed for seed, number in orders.items() if 2 * number >= max(orders.values())}
    return [one for one in experiments if one.seed in common], [one for one in experiments if one.seed not in common]


def tables(experiments: Sequence[Experiment]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Test scores (order, seed, target, language, score) and English validation scores (order, seed, target, score)."""
    scores, validation = [], []
    for experiment in experiments:
        key = ",".join(experiment.order), experiment.seed
        for target, cell in experiment.cells["targets"].items():
            scores += [(*key, target, language, score) for language, score in cell["languages"].items()]
            if cell["validation"] is not None:
                validation.append((*key, target, cell["validation"]))
    return (
        pd.DataFrame(scores, columns=["order", "seed", "target", "language", "score"]),
        pd.DataFrame(validation, columns=["order", "seed", "target", "score"]),
    )


def kinds(experiments: Sequence[Experiment]) -> dict[str, str]:
    """The kind of every target, task and step; a joint step is of its tasks' own, or `joint`, as no target is."""
    found = {
        name: record["kind"]
        for experiment in experiments
        for group in ("tasks", "xtreme")
        for name, record in experiment.params[group].items()
    }
    for step in dict.fromkeys(step for experiment in experiments for step in experiment.order):
        of_tasks = {found[task] for task in step.split("+")}
        found[step] = of_tasks.pop() if len(of_tasks) == 1 else "joint"
    return found


def by_language(experiments: Sequence[Experiment]) -> dict[str, dict[str, dict[str, float]]]:
    """By target and order the mean over seeds of every language's score."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for experiment in experiments:
        for target, cell in experiment.cells["targets"].items():
            order = found.setdefault(target, {}).setdefault(",".join(experiment.order), {})
            for language, score in cell["languages"].items():
                order.setdefault(language, []).append(score)
    return {
        target: {
            order: {language: round(mean(scores), 6) for language, scores in sorted(languages.items())}
            for order, languages in sorted(orders.items())
        }
        for target, orders in sorted(found.items())
    }


def per_order(experiments: Sequence[Experiment]) -> dict[Order, list[Experiment]]:
    """The experiments of every order, by seed."""
    found: dict[Order, list[Experiment]] = defaultdict(list)
    for experiment in sorted(experiments, key=lambda one: (one.order, one.seed)):
        found[experiment.order].append(experiment)
    return found


def retention(experiments: Sequence[Experiment]) -> list[dict[str, Any]]:
    """By order the matrix of what each step's task scores after it and every later step (mean over seeds), and its
    measures (mean, sd, n over seeds).
    """
    first = {}
    for experiment in experiments:
        for key, probe in experiment.cells["steps"].items():
            if key.startswith("1-"):
                first[key.removeprefix("1-"), experiment.seed] = main_score(probe["retention"][key])
    found = []
    for order, runs in per_order(experiments).items():
        matrices, measures = [], defaultdict(list)
        for run in runs:
            keys, matrix = retention_matrix(run.cells["steps"])
            if len(keys) != len(order) or not keys:
                continue
            matrices.append(matrix)
            alone = [first.get((step, run.seed)) for step in order]
            for name, value in retention_measures(matrix, alone).items():
                if value is not None:
                    measures[name].append(value)
        if matrices:
            found.append(
                {
                    "order": list(order),
                    "steps": keys,
                    "matrix": [
                        [_mean(cell) for cell in zip(*rows, strict=True)] for rows in zip(*matrices, strict=True)
                    ],
                    "measures": {name: _spread(measures[name]) for name in MEASURES},
                }
            )
    return found


def trajectories(experiments: Sequence[Experiment]) -> list[dict[str, Any]]:
    """By order Tatoeba's score at every hidden state after each step, untuned, mean over seeds."""
    found = []
    for order, runs in per_order(experiments).items():
        runs = [run for run in runs if any(probe["retrieval"] for probe in run.cells["steps"].values())]
        if runs:
            layers = [[probe["retrieval"] for probe in run.cells["steps"].values()] for run in runs]
            found.append({"order": list(order), "checkpoints": list(runs[0].cells["steps"]), "layers": _means(layers)})
    return found


def _means(tables: list[list[list[Any]]]) -> list[list[float | None]]:
    """Tables of one shape, averaged cell by cell."""
    return [[_mean(cell) for cell in zip(*rows, strict=True)] for rows in zip(*tables, strict=True)]


def _mean(values: Iterable[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return round(mean(numbers), 6) if numbers else None


def _spread(values: list[float]) -> dict[str, Any] | None:
    if not values:
        return None
    return {
        "mean": round(mean(values), 6),
        "sd": round(stdev(values), 6) if values[1:] else None,
        "n": len(values),
    }
