"""From experiments to the tables that statistics read: which compare orders, and what each one scored and kept."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import mean, stdev
from typing import Any

import pandas as pd

from scoring.retention import main_score, retention_matrix, retention_measures
from study.experiments import Experiment
from study.trie import Order

TOLD = ("notes", "leaked_by")  # facts of a task that are told and change nothing
# What is the same wherever only the order or the seed differs.
SETTINGS = ("source", "checkpoints", "world", "encoder", "sample", "training", "kinds", "tasks", "xtreme")
MEASURES = ("average_accuracy", "backward_transfer", "forgetting", "forward_transfer")


def settings(params: dict[str, Any]) -> dict[str, Any]:
    """What an experiment's scores depend on besides order and seed, by dotted name; not what it does not use."""
    used = {
        "tasks": set(re.findall(r"\w+", str(["null" if step is None else step for step in params["order"]]))),
        "xtreme": {"bucc2018" if target == "bucc" else target for target in params["targets"]},
    }
    found = {}
    for group in SETTINGS:
        for name, value in flat(params.get(group), group):
            _, task, fact = [*name.split("."), "", ""][:3]
            if group not in used or (task in used[group] and fact not in TOLD):
                found[name] = value
    return found


def flat(value: Any, name: str) -> Iterable[tuple[str, Any]]:
    """The leaves of nested mappings under dotted names; a list is one."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from flat(below, f"{name}.{key}")
    else:
        yield name, value


def alike(experiments: Iterable[Experiment]) -> list[tuple[dict[str, Any], list[Experiment]]]:
    """Experiments that differ in order and seed alone, group by group, with the settings that each group has."""
    groups: list[tuple[dict[str, Any], list[Experiment]]] = []
    for experiment in experiments:
        mine = settings(experiment.params)
        for known, members in groups:
            if all(known.get(name, value) == value for name, value in mine.items()):
                known |= mine
                members.append(experiment)
                break
        else:
            groups.append((mine, [experiment]))
    return groups


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


def kinds(experiment: Experiment) -> dict[str, str]:
    """The kind of every task and target."""
    return {name: record["kind"] for group in ("tasks", "xtreme") for name, record in experiment.params[group].items()}


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
