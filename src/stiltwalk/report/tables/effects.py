"""Effects of a task's position, and of one task directly before another (carry-over)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stiltwalk.report.formatting import excludes_zero, format_interval, format_signed
from stiltwalk.report.heatmap import HeatMap, Matrix, heat_map_table
from stiltwalk.report.table import Cell, Row, Table, estimate_cell
from stiltwalk.report.tables.variance import noisy_orders
from stiltwalk.report.views import Study, score_columns
from stiltwalk.report.wording import caption


def position_table(study: Study) -> Table:
    """Effects of a task's position by target, those that have an interval for at least one target.

    Where orders are not equally noisy, the interval of each effect by itself is given as well.
    """
    columns, effects = score_columns(study), study["positions"]
    positions = [(task, place) for task, places in effects[columns[0]]["tasks"].items() for place in places]
    noisy = {entry.target for entry in noisy_orders(study)}
    rows: list[Row] = []
    for task, place in positions:
        estimates = {column: effects[column]["tasks"][task][place] for column in columns}
        if any(estimate["low"] is not None for estimate in estimates.values()):
            cells = [position_cell(estimate, column in noisy) for column, estimate in estimates.items()]
            rows.append((f"{task} {place}", cells))
    records = [
        {"target": column, "task": task, "position": place} | effects[column]["tasks"][task][place]
        for column in columns
        for task, place in positions
    ]
    text = caption("position_table", alone=bool(noisy))
    return Table("positions", text, ["task, position", *columns], [("", rows)], records)


def position_cell(estimate: Mapping[str, Any], noisy: bool) -> Cell:
    """The cell of an effect with its simultaneous interval and, if orders are not equally noisy, its own."""
    cell = estimate_cell(estimate, "effect")
    alone = {"low": estimate["low_alone"], "high": estimate["high_alone"]}
    if not noisy or alone["low"] is None:
        return cell
    return replace(cell, small=f"{cell.small} alone {format_interval(alone)}")


def has_interval(entry: Mapping[str, Any]) -> bool:
    """Whether a target has an effect of position with an interval."""
    return any(effect["low"] is not None for places in entry["tasks"].values() for effect in places.values())


def carry_over_maps(study: Study) -> list[HeatMap]:
    """By target, the effects of the row's task directly before the column's task, those that have an interval.

    A star marks an effect whose interval excludes zero.
    """
    tasks = study["design"]["tasks"]
    maps = []
    for column in score_columns(study):
        effects = study["positions"][column]["carry_over"]
        known = {pair: effect["effect"] for pair, effect in effects.items() if effect["low"] is not None}
        if not known:
            continue
        values: Matrix = [[known.get(f"{first}>{second}") for second in tasks] for first in tasks]
        texts = [
            [
                "" if first == second else format_signed(value) + "*" * excludes_zero(effects[f"{first}>{second}"])
                for second, value in zip(tasks, row, strict=True)
            ]
            for first, row in zip(tasks, values, strict=True)
        ]
        maps.append(HeatMap(column, [f"{task} →" for task in tasks], second_tasks(tasks), values, texts))
    return maps


def carry_over_table(study: Study) -> Table | None:
    """The carry-over effects of all targets as one table; None if no effect has an interval."""
    maps = carry_over_maps(study)
    if not maps:
        return None
    records = [
        {"target": column, "pair": pair} | effect
        for column in score_columns(study)
        for pair, effect in study["positions"][column]["carry_over"].items()
    ]
    header = ["directly before", *second_tasks(study["design"]["tasks"])]
    return heat_map_table("carry_over", caption("carry_over"), header, maps, records)


def second_tasks(tasks: list[str]) -> list[str]:
    """The column names: the second task of each pair."""
    return [f"→\u00a0{task}" for task in tasks]
