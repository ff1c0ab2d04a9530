"""Series of measurements by size: their slopes, and the table of all series."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass
class Series:
    """Seconds and memory of one kind of work, by size.

    of: what the sizes count. expected: the slope that seconds should have. bytes: most anonymous memory.
    reports_memory: whether figure and table show its memory per row.
    """

    of: str
    expected: float
    reports_memory: bool = False
    sizes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)

    @property
    def slope(self) -> float:
        """The slope of seconds over all sizes."""
        return round(fit_slope(self.sizes, self.seconds), 3)

    @property
    def slope_at_the_end(self) -> float:
        """The slope of seconds over the two largest sizes."""
        return round(fit_slope(self.sizes[-2:], self.seconds[-2:]), 3)

    @property
    def bytes_per_row(self) -> float:
        """Memory that one more row takes."""
        return round((self.bytes[-1] - self.bytes[0]) / (self.sizes[-1] - self.sizes[0]), 1)

    def to_json(self) -> dict[str, Any]:
        """Return the series as bench-scale.json has it."""
        values = asdict(self)
        del values["reports_memory"]
        values |= {"slope": self.slope, "slope at the end": self.slope_at_the_end}
        return values | ({"bytes a row": self.bytes_per_row} if self.of == "rows" else {})


def fit_slope(sizes: list[int], values: list[float]) -> float:
    """Return the slope of the least-squares line through log value over log size."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def format_table(series: Mapping[str, Series]) -> str:
    """Return one line per series: its smallest and largest size, their seconds, the slopes, and peak memory."""
    lines = [f"{'':<29} {'sizes':>23} {'seconds':>21} {'slope':>6} {'at the end':>10} {'expected':>8} {'peak':>9}"]
    for name, one in series.items():
        sizes = f"{one.sizes[0]:,} to {one.sizes[-1]:,} {one.of}"
        seconds = f"{one.seconds[0]:.2g} to {one.seconds[-1]:.2g}"
        slopes = f"{one.slope:6.2f} {one.slope_at_the_end:10.2f} {one.expected:8.0f}"
        memory = f"{one.bytes[-1] / 2**20:5.0f} MiB"
        memory += f"  {one.bytes_per_row:,.0f} bytes a row" if one.reports_memory else ""
        lines.append(f"{name:<29} {sizes:>23} {seconds:>21} {slopes} {memory}")
    return "\n".join(lines)
