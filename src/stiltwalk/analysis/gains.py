"""The gain of every order over no intermediate training: for new seeds, and for new seeds and new test items."""

from collections.abc import Sequence
from typing import Any

from stiltwalk.analysis.cells import ALL, Cells, split_order
from stiltwalk.analysis.intervals import t_bounds
from stiltwalk.analysis.items import contrast_interval, item_covariance, read_items
from stiltwalk.sweep.experiments import Experiment
from stiltwalk.utils.files import to_jsonable

BASELINE = ""


def gains_for_new_items(experiments: Sequence[Experiment], cells: Cells) -> dict[str, Any]:
    """Return the gain of every order and control over the baseline with two 95 % intervals, by target, ready for JSON.

    Without a baseline, the gain is over the mean of the orders. `seeds` is the interval for other seeds on the same
    test items, `items` that for other seeds and other test items (see `items.contrast_interval`). Each is of one gain
    alone. Targets whose predictions DVC's cache lacks are in `left_out`, with the reason.

    experiments: those of the cells, one for each order and seed.
    """
    items, left_out = read_items(experiments)
    covariances = item_covariance(items, cells.targets)
    has_baseline = BASELINE in cells.names
    reference = {BASELINE: -1.0} if has_baseline else {order: -1 / len(cells.orders) for order in cells.orders}
    gains: dict[str, list[dict[str, Any]]] = {}
    for target in (ALL, *cells.targets):
        if target in covariances and reference:
            scores = cells.scores[target].dropna()
            names = [order for order in cells.names if order or not has_baseline]
            contrasts = {order: reference | {order: reference.get(order, 0.0) + 1.0} for order in names}
            gains[target] = [
                {"steps": split_order(order)} | _estimate(contrast_interval(scores, contrast, covariances[target]))
                for order, contrast in contrasts.items()
            ]
    result: dict[str, Any] = to_jsonable({"over_baseline": has_baseline, "left_out": left_out, "targets": gains})
    return result


def _estimate(interval: dict[str, float]) -> dict[str, Any]:
    """Return a gain with its intervals for other seeds, and for other seeds and items."""
    return {
        "mean": interval["mean"],
        "n": interval["n"],
        "seeds": t_bounds(interval["mean"], interval["seed_error"], interval["n"] - 1),
        "items": {"low": interval["low"], "high": interval["high"]},
    }
