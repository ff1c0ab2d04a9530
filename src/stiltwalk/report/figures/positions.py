"""The effects of a task's position, as a forest plot."""

from collections.abc import Mapping
from math import ceil
from typing import Any, TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from stiltwalk.report.figure import CHARACTER_WIDTH, Figure, add_panel, figure_style, new_drawing
from stiltwalk.report.formatting import excludes_zero, format_signed
from stiltwalk.report.palette import ACCENT, MUTED, PAPER
from stiltwalk.report.views import Study, score_columns
from stiltwalk.report.wording import alt_text, caption

Position: TypeAlias = tuple[str, str]
"""A task and where it stands: first, middle or last."""
Effects: TypeAlias = dict[str, dict[Position, Mapping[str, Any]]]
"""By target, the effects that have an interval."""

INTERVAL = ("low", "high")
MARKERS = {"first": "<", "middle": "D", "last": ">"}
PANEL_WIDTH, GAP, ROW_HEIGHT, MAX_PANELS_PER_ROW = 1.6, 0.2, 0.17, 5  # sizes in inches
EXAMPLES = 5  # in the alternative text


def position_figure(study: Study) -> Figure | None:
    """A forest plot with a panel for each target; None if no effect has an interval."""
    effects = effects_with_interval(study)
    if not effects:
        return None
    with figure_style():
        drawing = draw_forest(effects)
    significant = [
        f"{task} {place} on {column} ({format_signed(effect['effect'])})"
        for column, of_column in effects.items()
        for (task, place), effect in of_column.items()
        if excludes_zero(effect)
    ]
    alt = alt_text(
        "position_figure",
        n_effects=sum(map(len, effects.values())),
        n_significant=len(significant),
        examples=significant[:EXAMPLES],
    )
    return Figure("positions", caption("position_figure"), alt, drawing)


def effects_with_interval(study: Study) -> Effects:
    """The effects of positions that have an interval, without targets that have none."""
    effects = {
        column: {
            (task, place): effect
            for task, places in study["positions"][column]["tasks"].items()
            for place, effect in places.items()
            if effect["low"] is not None
        }
        for column in score_columns(study)
    }
    return {column: of_column for column, of_column in effects.items() if of_column}


def draw_forest(effects: Effects) -> Drawing:
    """Draw a panel for each target, with common axes."""
    positions = list(dict.fromkeys(position for of_column in effects.values() for position in of_column))
    tasks = list(dict.fromkeys(task for task, _ in positions))
    heights = {
        position: row * ROW_HEIGHT + tasks.index(position[0]) * 0.1  # a small gap between tasks
        for row, position in enumerate(positions)
    }
    labels = [f"{task} {place}" for task, place in positions]
    bounds = [abs(effect[key]) for of_column in effects.values() for effect in of_column.values() for key in INTERVAL]
    limit = 1.08 * max(bounds) or 1.0
    left, height = CHARACTER_WIDTH * max(map(len, labels)) + 0.15, max(heights.values()) + 0.25
    per_row = min(len(effects), MAX_PANELS_PER_ROW)
    n_rows = ceil(len(effects) / per_row)
    drawing = new_drawing(left + per_row * (PANEL_WIDTH + GAP), n_rows * (height + 0.65) + 0.1)
    for index, (column, of_column) in enumerate(effects.items()):
        row, place_in_row = divmod(index, per_row)
        panel = add_panel(
            drawing, left + place_in_row * (PANEL_WIDTH + GAP), 0.25 + row * (height + 0.65), PANEL_WIDTH, height
        )
        panel.set(xlim=(-limit, limit), ylim=(height - 0.12, -0.13))
        panel.set_title(column, loc="left", weight="bold", pad=4)
        panel.axvline(0, color=MUTED, lw=0.8, zorder=0)
        panel.spines["left"].set_visible(False)
        panel.set_yticks(list(heights.values()), labels if place_in_row == 0 else [], size=7.5)
        panel.tick_params(axis="y", length=0)
        for position, effect in of_column.items():
            draw_effect(panel, heights[position], effect, MARKERS[position[1]])
        if row == n_rows - 1 or index + per_row >= len(effects):
            panel.set_xlabel("points", size=7, labelpad=2)
    return drawing


def draw_effect(panel: Axes, y: float, effect: Mapping[str, Any], marker: str) -> None:
    """Draw an effect and its interval; filled and coloured if the interval excludes zero."""
    significant = excludes_zero(effect)
    colour, width = (ACCENT, 1.4) if significant else (MUTED, 0.9)
    fill = ACCENT if significant else PAPER
    panel.plot([effect["low"], effect["high"]], [y, y], color=colour, lw=width, zorder=1)
    panel.plot([effect["effect"]], [y], marker, ms=4.5, mfc=fill, mec=colour, mew=0.9, zorder=2)
