"""What the encoder retains of earlier steps, and retrieval accuracy after each step."""

from collections.abc import Mapping
from typing import Any

from stiltwalk.analysis.retention import MEASURES
from stiltwalk.report.formatting import MISSING, format_number, format_signed
from stiltwalk.report.heatmap import HeatMap, Matrix, heat_map_table, subtract
from stiltwalk.report.labels import OrderLabels
from stiltwalk.report.table import Cell, Row, Table
from stiltwalk.report.views import Study, n_seeds, order_key
from stiltwalk.report.wording import caption


def retention_maps(study: Study, labels: OrderLabels) -> list[HeatMap]:
    """By order, the validation score of each step's task after each step, coloured by the change since its own step.

    Orders of a single step are left out if there are longer ones.
    """
    maps = [retention_map(entry, labels) for entry in study["retention"]]
    return [heat_map for heat_map in maps if len(heat_map.rows) > 1] or maps


def retention_map(entry: Mapping[str, Any], labels: OrderLabels) -> HeatMap:
    """The heat map of one order."""
    steps = [labels.step(step.partition("-")[2]) for step in entry["steps"]]
    size = range(len(steps))
    scores = [[*row, *[None] * (len(steps) - len(row))] for row in entry["matrix"]]
    changes: Matrix = [[subtract(scores[i][j], scores[j][j]) if j <= i else None for j in size] for i in size]
    texts = [[format_number(scores[i][j]) if j <= i else "" for j in size] for i in size]
    rows = [f"after {number} {step}" for number, step in enumerate(steps, start=1)]
    return HeatMap(labels.order(entry["order"]), rows, steps, changes, texts)


def retention_table(study: Study, labels: OrderLabels) -> Table:
    """The heat maps of all orders as one table; its columns are steps, and the row labels name their tasks."""
    maps = retention_maps(study, labels)
    longest = max(len(heat_map.columns) for heat_map in maps)
    padded = [
        HeatMap(
            heat_map.title,
            heat_map.rows,
            heat_map.columns,
            [[*row, *[None] * (longest - len(row))] for row in heat_map.values],
            [[*row, *[""] * (longest - len(row))] for row in heat_map.texts],
        )
        for heat_map in maps
    ]
    records = [
        {"order": order_key(entry["order"]), "after": entry["steps"][i], "step": entry["steps"][j], "score": score}
        for entry in study["retention"]
        for i, row in enumerate(entry["matrix"])
        for j, score in enumerate(row[: i + 1])
    ]
    header = ["score of", *(f"step {number}" for number in range(1, longest + 1))]
    return heat_map_table("retention", caption("retention", n_seeds=n_seeds(study)), header, padded, records)


def retention_measures_table(study: Study, labels: OrderLabels) -> Table:
    """The measures of retention by order. Forgetting is left out where it is backward transfer with the other sign."""
    entries = study["retention"]
    pairs = [[(entry["measures"].get(name) or {}).get("mean") for name in MEASURES[1:3]] for entry in entries]
    redundant = all(format_signed(lost, 1) == format_signed(gain and -gain, 1) for gain, lost in pairs)
    shown = [name for name in MEASURES if name != "forgetting" or not redundant]
    rows: list[Row] = [
        (labels.order(entry["order"]), [measure_cell(name, entry["measures"].get(name)) for name in shown])
        for entry in entries
    ]
    records = [
        {"order": order_key(entry["order"]), "measure": name} | (entry["measures"].get(name) or {})
        for entry in entries
        for name in MEASURES
    ]
    text = caption("retention_measures", n_seeds=n_seeds(study))
    header = ["order", *(name.replace("_", " ") for name in shown)]
    return Table("retention_measures", text, header, [("", rows)], records).without_empty_columns()


def measure_cell(name: str, value: Mapping[str, Any] | None) -> Cell:
    """The mean of a measure over seeds, with its standard deviation."""
    if value is None or value["mean"] is None:
        return Cell(MISSING)
    mean = format_number(value["mean"]) if name == "average_accuracy" else format_signed(value["mean"], 1)
    return Cell(mean, f"sd {value['sd']:.1f}" if value["sd"] is not None else "")


def trajectory_table(study: Study, labels: OrderLabels) -> Table:
    """Tatoeba accuracy after every step, by hidden state."""
    entries = study["trajectory"]
    layers = range(max(len(scores) for entry in entries for scores in entry["layers"]))
    groups: list[tuple[str, list[Row]]] = []
    records = []
    for entry in entries:
        rows: list[Row] = []
        for step, scores in zip(entry["checkpoints"], entry["layers"], strict=True):
            texts = [format_number(scores[layer]) if layer < len(scores) else MISSING for layer in layers]
            rows.append((step, [Cell(text) for text in texts]))
            for layer, score in enumerate(scores):
                key = order_key(entry["order"])
                records.append({"order": key, "checkpoint": step, "hidden_state": layer, "score": score})
        groups.append((labels.order(entry["order"]), rows))
    return Table("trajectory", caption("trajectory_table"), ["after", *map(str, layers)], groups, records)
