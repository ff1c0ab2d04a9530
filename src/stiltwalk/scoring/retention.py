"""Continual-learning measures: how well a sequence of tasks retains each of them."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import numpy as np

from stiltwalk.utils.files import to_jsonable

Matrix = list[list[float | None]]


def retention_matrix(probes: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], Matrix]:
    """Return the steps whose tasks were probed, and the matrix R of their scores after each step.

    probes: by step, what was measured of its checkpoint (scoring/probes.py). R[i][j] is the score of step j's task
    after step i, None where it was not measured (above the diagonal).
    """
    scores = {step: probe["retention"] for step, probe in probes.items() if probe["retention"]}
    matrix = [[main_score(row[step]) if step in row else None for step in scores] for row in scores.values()]
    return list(scores), matrix


def main_score(tasks: Mapping[str, Mapping[str, float]]) -> float:
    """Return the score of a step: the main score of its task, or the mean over the tasks of a joint step."""
    return mean(next(iter(scores.values())) for scores in tasks.values())


def retention_measures(
    matrix: Sequence[Sequence[float | None]], first: Sequence[float | None]
) -> dict[str, float | None]:
    """Compute measures of the T x T matrix R, where R[i][j] is the validation score of step j's task after step i.

    - average_accuracy: the mean of R[T-1][j] over all T tasks (Lopez-Paz & Ranzato 2017, ACC).
    - backward_transfer: R[T-1][j] - R[j][j], summed over j < T-1, divided by T-1 (ibid., BWT).
    - forgetting: the maximum of R[i][j] over j <= i < T-1, minus R[T-1][j], summed over j < T-1, divided by T-1
      (Chaudhry et al. 2018).
    - forward_transfer: R[j][j] - first[j], summed over j >= 1, divided by T-1. Lopez-Paz & Ranzato use R[j-1][j], the
      score of a task before it is trained. That score means nothing here, because every step starts from a new head.
      first[j] is the score of the task when it comes first, trained from the pretrained encoder with the same seed.
      first[0] is not read.

    A measure is None if a score that it needs is missing. With one step, all but average_accuracy are None. Entries
    above the diagonal are not read and may be absent.
    """
    steps = len(matrix)
    scores = np.full((steps, steps), np.nan)
    for i, row in enumerate(matrix):
        scores[i, : i + 1] = np.array(row[: i + 1], float)
    final, after_training, trained_first = scores[-1], np.diag(scores), np.array(first, float)
    measures: dict[str, Any] = {"average_accuracy": final.mean()}
    if steps == 1:
        measures |= dict.fromkeys(("backward_transfer", "forgetting", "forward_transfer"))
    else:
        best = np.array([scores[j:-1, j].max() for j in range(steps - 1)])
        measures["backward_transfer"] = (final - after_training)[:-1].mean()
        measures["forgetting"] = (best - final[:-1]).mean()
        measures["forward_transfer"] = (after_training - trained_first)[1:].mean()
    jsonable: dict[str, float | None] = to_jsonable(measures)
    return jsonable
