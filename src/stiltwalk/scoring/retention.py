"""What a chain of tasks keeps of each of them: the measures of continual learning."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import numpy as np

from stiltwalk.utils.stage import tidy

Matrix = list[list[float | None]]


def retention_matrix(probes: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], Matrix]:
    """The steps whose tasks were probed, and the matrix R of what each one's task scores after it and later steps.

    probes: the records of src/probe.py by step. None where a task was not looked at, as above the diagonal.
    """
    found = {key: probe["retention"] for key, probe in probes.items() if probe["retention"]}
    return list(found), [[main_score(kept[key]) if key in kept else None for key in found] for kept in found.values()]


def main_score(tasks: Mapping[str, Mapping[str, float]]) -> float:
    """One number of a step: the main score of its task, or the mean over the tasks of a joint step."""
    return mean(next(iter(scores.values())) for scores in tasks.values())


def retention_measures(
    matrix: Sequence[Sequence[float | None]], first: Sequence[float | None]
) -> dict[str, float | None]:
    """Measures of the T x T matrix R, R[i][j] the validation score of step j's task after step i (j <= i).

    - average_accuracy: the mean of R[T-1][j] over all T tasks (Lopez-Paz & Ranzato 2017, ACC).
    - backward_transfer: R[T-1][j] - R[j][j], summed over j < T-1, divided by T-1 (the same, BWT).
    - forgetting: the maximum of R[i][j] over j <= i < T-1, less R[T-1][j], summed over j < T-1, divided by T-1
      (Chaudhry et al. 2018).
    - forward_transfer: R[j][j] - first[j], summed over j >= 1, divided by T-1. Heads are new at each step, so that
      Lopez-Paz & Ranzato's R[j-1][j], a task's score before it was trained on, says nothing here; first[j] is the
      task's score when it comes first, from the pretrained encoder and with the same seed. first[0] is not read.

    None where a score that is needed is missing, and for all but the first with one step. Entries above the diagonal
    are not read and need not be there.
    """
    steps = len(matrix)
    scores = np.full((steps, steps), np.nan)
    for i, row in enumerate(matrix):
        scores[i, : i + 1] = np.array(row[: i + 1], float)
    final, learnt, alone = scores[-1], np.diag(scores), np.array(first, float)
    measures = {"average_accuracy": final.mean()}
    if steps == 1:
        return tidy(measures | dict.fromkeys(("backward_transfer", "forgetting", "forward_transfer")))  # type: ignore[no-any-return]
    best = np.array([scores[j:-1, j].max() for j in range(steps - 1)])
    measures["backward_transfer"] = (final - learnt)[:-1].mean()
    measures["forgetting"] = (best - final[:-1]).mean()
    measures["forward_transfer"] = (learnt - alone)[1:].mean()
    return tidy(measures)  # type: ignore[no-any-return]
