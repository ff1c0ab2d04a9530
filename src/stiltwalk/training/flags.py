"""Flags tell what is wrong with a finished training: a task that was not learned must not pass for a result."""

import math
from collections import Counter
from typing import Any

import pyarrow as pa

from stiltwalk.tasks.base_head import TrainedTask

COLLAPSE = 0.99  # share of equal predictions from which on a training counts as collapsed


def flag(task: TrainedTask[Any], predictions: list[Any], table: pa.Table, score: float) -> str:
    """Return what is wrong if the score is within two standard errors of the majority baseline's; else an empty string.

    Fine-tuning may collapse to the majority class: X-STILTs' XLM-R large does on PAWS-X for some seeds (Phang et al.
    2020).

    score: the main score of the predictions, from 0 to 100.
    """
    rows = len(table)
    baseline = task.majority_baseline(table) if rows else None
    if baseline is None:
        return ""
    metric, baseline_score = next(iter(task.evaluate(baseline, table).items()))
    share = min(max(baseline_score / 100, 1 / rows), 1 - 1 / rows)
    if score > baseline_score + 200 * math.sqrt(share * (1 - share) / rows):
        return ""
    counts = Counter(one for each in predictions for one in (each if isinstance(each, list) else [each]))
    prediction, count = counts.most_common(1)[0] if counts else ("", 0)
    problem = f"collapsed to {prediction!r}" if count >= COLLAPSE * counts.total() > 0 else "not learned"
    return f"{problem}: validation {metric} {score:.1f}, a guess {baseline_score:.1f}"
