"""What the stages `retention` and `trajectory` measured of the checkpoints of an order."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stiltwalk.scoring.retention import retention_matrix, retention_measures
from stiltwalk.utils.files import read_json


def read_probes(folder: Path, checkpoints: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return what was measured of each checkpoint; of some, nothing was.

    `retention` has scores by step and task, `flags` the tasks that the checkpoint's step did not learn, and
    `trajectory` Tatoeba's accuracy at every hidden state, the embeddings' first.
    """
    probes: dict[str, dict[str, Any]] = {}
    for key in checkpoints:
        retention, trajectory = folder / "retention" / f"{key}.json", folder / "trajectory" / f"{key}.csv"
        if retention.is_file() or trajectory.is_file():
            kept = read_json(retention) if retention.is_file() else {"retention": {}, "flags": {}}
            probes[key] = kept | {"trajectory": _read_trajectory(trajectory) if trajectory.is_file() else []}
    return probes


def order_retention(probes: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return how well the last encoder retains the order's tasks, as far as one experiment shows."""
    keys, matrix = retention_matrix(probes)
    measures = retention_measures(matrix, [None] * len(keys)) if keys else {}
    return {name: value for name, value in measures.items() if value is not None}


def _read_trajectory(path: Path) -> list[float]:
    with path.open(encoding="utf-8", newline="") as file:
        return [float(row["score"]) for row in csv.DictReader(file)]
