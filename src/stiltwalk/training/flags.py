"""What went wrong with a training that came to its end: a task that was not learned must not pass for a result."""

import math
from collections import Counter
from typing import Any, Protocol

import pyarrow as pa

ALIKE = 0.99  # of the predictions: a collapse


class Guessing(Protocol):
    """What flags need of a kind of task."""

    def guess(self, table: pa.Table) -> list[Any] | None: ...
    def evaluate(self, predictions: list[Any], table: pa.Table) -> dict[str, float]: ...


def flag(kind: Guessing, predictions: list[Any], table: pa.Table, score: float) -> str:
    """Empty, or that the score (0 to 100) is within two standard errors of what a guess without learning gives.

    Fine-tuning may collapse to the majority class: X-STILTs' XLM-R large on PAWS-X in some seeds (Phang et al. 2020).
    """
    rows = len(table)
    guess = kind.guess(table) if rows else None
    if guess is None:
        return ""
    main, value = next(iter(kind.evaluate(guess, table).items()))
    share = min(max(value / 100, 1 / rows), 1 - 1 / rows)
    if score > value + 200 * math.sqrt(share * (1 - share) / rows):
        return ""
    given = Counter(one for each in predictions for one in (each if isinstance(each, list) else [each]))
    commonest, count = given.most_common(1)[0] if given else ("", 0)
    how = f"collapsed to {commonest!r}" if count >= ALIKE * given.total() > 0 else "not learned"
    return f"{how}: validation {main} {score:.1f}, a guess {value:.1f}"


def commonest(values: list[Any]) -> Any:
    """The value that occurs most often, of several the first in their order."""
    return max(sorted(set(values)), key=Counter(values).__getitem__)
