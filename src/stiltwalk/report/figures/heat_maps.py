"""Heat maps as figures for a paper. The page shows them as tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, nan

from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from stiltwalk.report.figure import CHARACTER_WIDTH, Figure, add_panel, figure_style, new_drawing
from stiltwalk.report.formatting import format_signed
from stiltwalk.report.heatmap import HeatMap, colour_limit
from stiltwalk.report.palette import DIFFERENCE_COLOURS, LIGHT, PAPER, SHADES_PER_SIDE, difference_colour

ROW_HEIGHT, MIN_CELL_WIDTH, GAP, MAX_WIDTH = 0.19, 0.17, 0.3, 10  # inches
MAX_CELLS_WITH_NUMBERS = 400


@dataclass(frozen=True)
class Layout:
    """Sizes of the heat maps of one figure, in inches."""

    left: float
    """Room for row labels."""
    head: float
    """Room for the title and the column labels."""
    cell_width: float
    rotated: bool
    """Whether column labels run upward."""
    with_numbers: bool


def heat_map_figure(name: str, caption: str, maps: Sequence[HeatMap], limit: float | None = None) -> Figure:
    """Heat maps side by side with a common colour scale, which ends at ±limit or at the largest value.

    The cells have numbers if there are not too many of them.
    """
    limit = limit or colour_limit(maps)
    layout = choose_layout(maps)
    width = layout.left + layout.cell_width * max(len(heat_map.columns) for heat_map in maps) + GAP
    height = layout.head + ROW_HEIGHT * max(len(heat_map.rows) for heat_map in maps) + 0.1
    per_row = max(1, min(len(maps), int(MAX_WIDTH / width)))
    n_rows = ceil(len(maps) / per_row)
    shades = ListedColormap([LIGHT[colour] for colour in DIFFERENCE_COLOURS])
    with figure_style():
        drawing = new_drawing(per_row * width + 1.0, n_rows * height + 0.5)
        for index, heat_map in enumerate(maps):
            row, column = divmod(index, per_row)
            panel_width, panel_height = layout.cell_width * len(heat_map.columns), ROW_HEIGHT * len(heat_map.rows)
            left, top = layout.left + column * width, layout.head + row * height
            panel = add_panel(drawing, left, top, panel_width, panel_height)
            draw_heat_map(panel, heat_map, limit, shades, layout)
            x, y = -layout.left / panel_width, 1 + (layout.head - 0.2) / panel_height
            panel.text(x, y, heat_map.title, transform=panel.transAxes, weight="bold")
        draw_scale(add_panel(drawing, layout.left, n_rows * height + 0.12, 1.4, 0.12), limit, shades)
    return Figure(name, caption, caption, drawing)


def choose_layout(maps: Sequence[HeatMap]) -> Layout:
    """Choose sizes that hold the labels and numbers of all maps."""
    with_numbers = max(len(heat_map.rows) * len(heat_map.columns) for heat_map in maps) <= MAX_CELLS_WITH_NUMBERS
    texts = [text for heat_map in maps for row in heat_map.texts for text in row] if with_numbers else []
    text_widths = [CHARACTER_WIDTH * 0.85 * len(text) + 0.08 for text in texts]
    cell_width = max(MIN_CELL_WIDTH, max(text_widths, default=0))
    label_width = CHARACTER_WIDTH * max(len(column) for heat_map in maps for column in heat_map.columns)
    rotated = label_width >= cell_width
    return Layout(
        left=CHARACTER_WIDTH * max(len(label) for heat_map in maps for label in heat_map.rows) + 0.1,
        head=label_width + 0.35 if rotated else 0.42,
        cell_width=cell_width,
        rotated=rotated,
        with_numbers=with_numbers,
    )


def draw_heat_map(panel: Axes, heat_map: HeatMap, limit: float, shades: ListedColormap, layout: Layout) -> None:
    """Draw one heat map."""
    colours = [[colour_number(value, limit) for value in row] for row in heat_map.values]
    last = len(DIFFERENCE_COLOURS) - 1
    panel.pcolormesh(colours, cmap=shades, vmin=-0.5, vmax=last + 0.5, edgecolor=PAPER, linewidth=0.5)
    panel.invert_yaxis()
    panel.xaxis.tick_top()
    columns = [i + 0.5 for i in range(len(heat_map.columns))]
    panel.set_xticks(columns, heat_map.columns, rotation=90 if layout.rotated else 0)
    panel.set_yticks([i + 0.5 for i in range(len(heat_map.rows))], heat_map.rows)
    panel.tick_params(length=0, pad=2)
    panel.spines[:].set_visible(False)
    for i, row in enumerate(heat_map.texts if layout.with_numbers else []):
        for j, text in enumerate(row):
            panel.text(j + 0.5, i + 0.52, text, ha="center", va="center", size=6.5)


def colour_number(value: float | None, limit: float) -> float:
    """The index of a value's colour; NaN, which is not drawn, for a missing value."""
    return nan if value is None else DIFFERENCE_COLOURS.index(difference_colour(value, limit))


def draw_scale(panel: Axes, limit: float, shades: ListedColormap) -> None:
    """Draw the colour scale."""
    n_colours = len(DIFFERENCE_COLOURS)
    panel.pcolormesh([range(n_colours)], cmap=shades, edgecolor=PAPER, linewidth=0.5)
    panel.set_yticks([])
    ticks = [0.5, SHADES_PER_SIDE + 0.5, n_colours - 0.5]
    panel.set_xticks(ticks, [format_signed(-limit, 1), "0", format_signed(limit, 1)])
    panel.tick_params(length=0, pad=2)
    panel.spines[:].set_visible(False)
