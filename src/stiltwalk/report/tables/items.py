"""Gains with intervals that hold for new test items as well as for new seeds."""

from collections.abc import Mapping
from typing import Any

from stiltwalk.report.formatting import MISSING, format_signed
from stiltwalk.report.labels import OrderLabels
from stiltwalk.report.table import Cell, Row, Table
from stiltwalk.report.views import Study, order_key, ranked_orders, score_columns
from stiltwalk.report.wording import caption


def item_table(study: Study, labels: OrderLabels) -> Table | None:
    """The gain of every order and control, with both intervals; None without any interval."""
    items = study["items"]
    columns = [column for column in score_columns(study) if column in items["targets"]]
    gains = {column: {order_key(gain["steps"]): gain for gain in items["targets"][column]} for column in columns}
    if not any(gain["items"]["low"] is not None for by_order in gains.values() for gain in by_order.values()):
        return None
    groups: dict[str, list[Row]] = {"Orders": [], "Controls": []}
    for entry in ranked_orders(study):
        key = order_key(entry["steps"])
        if any(key in by_order for by_order in gains.values()):
            cells = [gain_cell(gains[column].get(key)) for column in columns]
            groups["Controls" if entry["control"] else "Orders"].append((labels.order(entry["steps"]), cells))
    records = [
        {"target": column, "order": key, "mean": gain["mean"], "n": gain["n"]}
        | {f"{end}_{of}": gain[of][end] for of in ("seeds", "items") for end in ("low", "high")}
        for column in columns
        for key, gain in gains[column].items()
    ]
    text = caption("items", over_baseline=items["over_baseline"])
    return Table("items", text, ["order", *columns], [(name, rows) for name, rows in groups.items() if rows], records)


def gain_cell(gain: Mapping[str, Any] | None) -> Cell:
    """The cell of one gain: half the width of the interval for new seeds, then of that for new items as well."""
    if gain is None or gain["mean"] is None:
        return Cell(MISSING)
    if gain["items"]["low"] is None:
        return Cell(format_signed(gain["mean"], 1))
    halves = [(gain[of]["high"] - gain[of]["low"]) / 2 for of in ("seeds", "items")]
    return Cell(format_signed(gain["mean"], 1), f"±{halves[0]:.1f} / ±{halves[1]:.1f}")
