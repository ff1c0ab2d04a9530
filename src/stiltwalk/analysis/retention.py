"""Retention of the intermediate tasks and retrieval after every step, by order, as means over seeds."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, stdev
from typing import Any, TypeAlias

from stiltwalk.scoring.retention import main_score, retention_matrix, retention_measures
from stiltwalk.sweep.experiments import Experiment
from stiltwalk.sweep.trie import Order

MEASURES = ("average_accuracy", "backward_transfer", "forgetting", "forward_transfer")
Table: TypeAlias = Sequence[Sequence[float | None]]


def retention_by_order(experiments: Sequence[Experiment]) -> list[dict[str, Any]]:
    """Return each order's retention, ready for JSON.

    `matrix` has the score of each step's task after that step and all later ones (mean over seeds), `measures` the
    continual-learning measures (mean, sd and n over seeds).
    """
    first_scores = _first_step_scores(experiments)
    entries = []
    for order, runs in _group_by_order(experiments).items():
        step_keys: list[str] = []
        matrices, measures = [], defaultdict(list)
        for run in runs:
            keys, matrix = retention_matrix(run.cells["steps"])
            if len(keys) != len(order) or not keys:
                continue
            step_keys = keys
            matrices.append(matrix)
            first = [first_scores.get((step, run.seed)) for step in order]
            for name, value in retention_measures(matrix, first).items():
                if value is not None:
                    measures[name].append(value)
        if matrices:
            entries.append(
                {
                    "order": list(order),
                    "steps": step_keys,
                    "matrix": _average_tables(matrices),
                    "measures": {name: _summarise(measures[name]) for name in MEASURES},
                }
            )
    return entries


def trajectories_by_order(experiments: Sequence[Experiment]) -> list[dict[str, Any]]:
    """Return each order's Tatoeba scores without tuning, at every hidden state after each step, as means over seeds."""
    entries = []
    for order, runs in _group_by_order(experiments).items():
        probed = [run for run in runs if any(probe.get("trajectory") for probe in run.cells["steps"].values())]
        if probed:
            layers = [[probe.get("trajectory", []) for probe in run.cells["steps"].values()] for run in probed]
            checkpoints = list(probed[0].cells["steps"])
            entries.append({"order": list(order), "checkpoints": checkpoints, "layers": _average_tables(layers)})
    return entries


def _first_step_scores(experiments: Iterable[Experiment]) -> Mapping[tuple[str, int], float]:
    """Return, by step and seed, the score of the step's task where it is trained first."""
    scores = {}
    for experiment in experiments:
        for key, probe in experiment.cells["steps"].items():
            if key.startswith("1-"):
                scores[key.removeprefix("1-"), experiment.seed] = main_score(probe["retention"][key])
    return scores


def _group_by_order(experiments: Iterable[Experiment]) -> Mapping[Order, list[Experiment]]:
    """Return the experiments of every order, sorted by order and seed."""
    by_order: dict[Order, list[Experiment]] = defaultdict(list)
    for experiment in sorted(experiments, key=lambda experiment: (experiment.order, experiment.seed)):
        by_order[experiment.order].append(experiment)
    return by_order


def _average_tables(tables: Sequence[Table]) -> list[list[float | None]]:
    """Average tables of the same shape cell by cell."""
    return [[_mean(cell) for cell in zip(*rows, strict=True)] for rows in zip(*tables, strict=True)]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(mean(known), 6) if known else None


def _summarise(values: Sequence[float]) -> dict[str, Any] | None:
    """Return mean, sd and n; None without values."""
    if not values:
        return None
    sd = round(stdev(values), 6) if len(values) > 1 else None
    return {"mean": round(mean(values), 6), "sd": sd, "n": len(values)}
