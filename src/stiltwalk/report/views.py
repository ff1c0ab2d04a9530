"""What tables, figures and sentences all ask of a study."""

from collections.abc import Mapping
from typing import Any, TypeAlias

Study: TypeAlias = Mapping[str, Any]
"""What the page shows, see `stiltwalk.report.study.Study.page`."""

MEAN_OF_TARGETS = "all"  # the key of the mean over targets
MIN_RANKED_ORDERS = 5  # to compare rankings: with four orders even a tau of 1 has p = 1/12


def score_columns(study: Study) -> list[str]:
    """Return "all" (the mean over targets) and the targets, in the order of design.targets.

    A single target stands alone, for it is its own mean.
    """
    targets = study["design"]["targets"]
    return targets if len(targets) == 1 else [MEAN_OF_TARGETS, *targets]


def ranked_orders(study: Study) -> list[dict[str, Any]]:
    """Return the entries of orders and controls, highest mean first, those without a score last."""
    column = score_columns(study)[0] if study["design"]["targets"] else MEAN_OF_TARGETS

    def rank(entry: Mapping[str, Any]) -> tuple[bool, float, list[str]]:
        mean = entry["scores"].get(column, {}).get("mean")
        return mean is None, -(mean or 0.0), entry["steps"]

    return sorted(study["orders"], key=rank)


def order_key(steps: list[str]) -> str:
    """The key of an order in `study["languages"]` and in CSV files: its steps joined by commas."""
    return ",".join(steps)


def n_seeds(study: Study) -> int:
    """How many seeds the experiments have."""
    return len(study["design"]["seeds"])


def has_repeats(study: Study) -> bool:
    """Whether several orders ran with several seeds; otherwise an effect of order cannot be separated from noise."""
    return len(study["design"]["orders"]) > 1 and n_seeds(study) > 1
