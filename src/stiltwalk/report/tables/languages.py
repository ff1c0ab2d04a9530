"""Scores by language."""

from collections.abc import Mapping

from stiltwalk.report.formatting import format_number, format_signed
from stiltwalk.report.heatmap import HeatMap, Matrix, colour_limit, heat_map_rows, mean_of_known, subtract
from stiltwalk.report.labels import OrderLabels
from stiltwalk.report.table import Cell, Table
from stiltwalk.report.views import Study, order_key, ranked_orders
from stiltwalk.report.wording import caption

REFERENCE = "mean of the orders"


def language_map(study: Study, target: str, labels: OrderLabels) -> HeatMap:
    """A target's scores by order and language, as differences from the first row. Orders come before controls.

    The first row has the scores of the baseline or, without one, the mean of the orders.
    """
    scores: Mapping[str, Mapping[str, float | None]] = study["languages"][target]
    languages = list(dict.fromkeys(language for entry in scores.values() for language in entry))
    ranked = [(order_key(entry["steps"]), entry["control"]) for entry in ranked_orders(study)]
    orders = [key for key, control in ranked if key in scores and not control]
    controls = [key for key, control in ranked if key in scores and control and key]
    if "" in scores:
        reference_label = labels.order([])
        reference = [scores[""].get(language) for language in languages]
    else:
        reference_label = REFERENCE
        reference = [mean_of_known(scores[key].get(language) for key in orders) for language in languages]
    keys = orders + controls
    differences: Matrix = [
        [subtract(scores[key].get(language), score) for language, score in zip(languages, reference, strict=True)]
        for key in keys
    ]
    return HeatMap(
        target,
        [reference_label, *(labels.order(key.split(",")) for key in keys)],
        languages,
        [[None] * len(languages), *differences],
        [[format_number(score) for score in reference], *([format_signed(v, 1) for v in row] for row in differences)],
    )


def language_table(study: Study, target: str, labels: OrderLabels) -> Table:
    """The scores of a target by language: as a heat map of differences, or as scores if there is only one order."""
    scores, name = study["languages"][target], f"languages-{target}"
    records = [
        {"order": key, "language": language, "score": score}
        for key, entry in scores.items()
        for language, score in entry.items()
    ]
    heat_map = language_map(study, target, labels)
    header = ["order", *heat_map.columns]
    if len(scores) == 1:
        key, entry = next(iter(scores.items()))
        label = labels.order(key.split(",") if key else [])
        cells = [Cell(format_number(entry[language])) for language in heat_map.columns]
        return Table(name, caption("language_scores", target=target), header, [("", [(label, cells)])], records)
    n_orders = sum(not entry["control"] and order_key(entry["steps"]) in scores for entry in study["orders"])
    limit = colour_limit([heat_map])
    first, *rest = heat_map_rows(heat_map, limit)
    groups = [("", [first]), ("Orders", rest[:n_orders]), ("Controls", rest[n_orders:])]
    groups = [(title, rows) for title, rows in groups if rows]
    return Table(name, caption("language_differences", target=target), header, groups, records, limit)
