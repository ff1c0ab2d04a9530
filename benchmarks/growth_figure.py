"""The figure of `make bench-scale`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from growth_series import Series


def draw_figure(series: Mapping[str, Series], out: Path) -> None:
    """Draw one panel per kind of size, and one of memory over rows, to `out` with the suffixes .svg and .png.

    Dotted lines are proportional to the size.
    """
    figure = Figure(figsize=(13, 8), layout="constrained")
    axes = figure.subplots(2, 3)
    axes[1, 2].set_axis_off()
    kinds = list(dict.fromkeys(one.of for one in series.values()))
    panels = [(kind, False) for kind in kinds]
    panels.insert(1, ("rows", True))
    for axis, (kind, is_memory) in zip(axes.flat, panels, strict=False):
        shown = {name: one for name, one in series.items() if one.of == kind and (one.reports_memory or not is_memory)}
        (draw_memory if is_memory else draw_seconds)(axis, shown)
        axis.set_xlabel(kind)
        bottom, top = np.log10(axis.get_ylim())
        axis.set_ylim(10 ** np.floor(bottom), 10 ** np.ceil(top + (top - bottom) / 4))  # room for the legend
        axis.legend(fontsize="small", loc="upper left")
        axis.grid(alpha=0.3)
    for suffix in (".svg", ".png"):
        figure.savefig(out.with_suffix(suffix), dpi=120)


def draw_seconds(axis: Any, series: Mapping[str, Series]) -> None:
    """Draw seconds over sizes."""
    for name, one in series.items():
        (line,) = axis.loglog(one.sizes, one.seconds, marker="o", label=f"{name} ({one.slope:.2f})")
        if one.expected:
            sizes = np.array(one.sizes)
            axis.loglog(sizes, one.seconds[-1] * sizes / sizes[-1], ":", color=line.get_color(), linewidth=1)
        axis.set(title=one.of, ylabel="seconds (slope)")


def draw_memory(axis: Any, series: Mapping[str, Series]) -> None:
    """Draw memory over rows."""
    for name, one in series.items():
        mebibytes = np.array(one.bytes) / 2**20
        axis.loglog(one.sizes, mebibytes, marker="o", label=f"{name} ({one.bytes_per_row:,.0f} bytes a row)")
    axis.set(title="rows: anonymous memory", ylabel="MiB")
