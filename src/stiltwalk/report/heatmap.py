"""Heat maps: matrices whose colours show how far a value is from zero. They become tables and figures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from stiltwalk.report.palette import difference_colour
from stiltwalk.report.table import Cell, Row, Table

Matrix: TypeAlias = list[list[float | None]]


@dataclass(frozen=True)
class HeatMap:
    """A matrix of rows x columns: `values` are coloured, `texts` are shown. A missing value has no colour."""

    title: str
    rows: list[str]
    columns: list[str]
    values: Matrix
    texts: list[list[str]]


def colour_limit(maps: Iterable[HeatMap]) -> float:
    """The largest absolute value, at which the colours end; 1 if all are zero or missing."""
    values = (abs(value) for heat_map in maps for row in heat_map.values for value in row if value is not None)
    return max(values, default=0.0) or 1.0


def heat_map_rows(heat_map: HeatMap, limit: float) -> list[Row]:
    """The rows of a table, each cell with its colour as style."""
    return [
        (label, [_cell(value, text, limit) for value, text in zip(values, texts, strict=True)])
        for label, values, texts in zip(heat_map.rows, heat_map.values, heat_map.texts, strict=True)
    ]


def heat_map_table(
    name: str, caption: str, header: list[str], maps: Sequence[HeatMap], records: list[dict[str, Any]]
) -> Table:
    """Several heat maps as one table: a group of rows for each, with a common colour scale."""
    limit = colour_limit(maps)
    groups = [(heat_map.title, heat_map_rows(heat_map, limit)) for heat_map in maps]
    return Table(name, caption, header, groups, records, limit, side_by_side=True)


def subtract(value: float | None, other: float | None) -> float | None:
    """The difference of two values; None if one of them is missing."""
    return None if value is None or other is None else value - other


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are not missing; None if all are."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _cell(value: float | None, text: str, limit: float) -> Cell:
    return Cell(text, style="" if value is None else difference_colour(value, limit))
