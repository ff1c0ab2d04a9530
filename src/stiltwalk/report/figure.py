"""A figure: one look for all of them, written as SVG and PNG, and as SVG inside the page."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from stiltwalk.report.palette import COLOURS, INK, MUTED

STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # part of matplotlib
    "font.size": 8,
    "text.hinting": "no_hinting",  # text gets the same width in the PNG as in the SVG
    "svg.fonttype": "none",
    "svg.hashsalt": "stiltwalk",
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 8,
    "axes.unicode_minus": True,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.frameon": False,
    "legend.fontsize": 7,
}
CHARACTER_WIDTH = 0.068  # inches, roughly, at font size 8
COLOUR_NAMES = {light: name for name, (light, _) in COLOURS.items()}


@dataclass(frozen=True)
class Figure:
    """A drawing with its caption and its alternative text."""

    name: str
    """Its file name without suffix, and its id in the page."""
    caption: str
    alt: str
    drawing: Drawing

    def write(self, folder: Path) -> str:
        """Write <name>.svg and <name>.png, and return the SVG element for the page.

        The same figure gives the same bytes.
        """
        folder.mkdir(parents=True, exist_ok=True)
        buffer = io.StringIO()
        with figure_style():
            box = self.drawing.get_tightbbox().padded(0.1)  # measured once, so that SVG and PNG have the same size
            no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
            self.drawing.savefig(buffer, format="svg", metadata=no_metadata, facecolor="none", bbox_inches=box)
            png = folder / f"{self.name}.png"
            self.drawing.savefig(png, metadata={"Software": None}, facecolor="white", bbox_inches=box, dpi=200)
        (folder / f"{self.name}.svg").write_text(buffer.getvalue(), encoding="utf-8")
        return inline_svg(buffer.getvalue(), self.name, self.alt)


@contextmanager
def figure_style() -> Iterator[None]:
    """Context manager for the look of the figures; it overrides a user's own matplotlib settings."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def new_drawing(width: float, height: float) -> Drawing:
    """An empty drawing; width and height in inches."""
    return Drawing(figsize=(width, height))


def add_panel(drawing: Drawing, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a position from the top left corner, in inches."""
    drawing_width, drawing_height = drawing.get_size_inches()
    bottom = 1 - (top + height) / drawing_height
    return drawing.add_axes((left / drawing_width, bottom, width / drawing_width, height / drawing_height))


def inline_svg(svg: str, name: str, alt: str) -> str:
    """Turn a matplotlib SVG file into an element of the page.

    It gets unique ids, the fonts of the page, CSS variables for colours, no fixed size, and the alternative text.
    """
    width = float(re.search(r'<svg[^>]* width="([\d.]+)pt"', svg)[1]) * 96 / 72  # type: ignore[index]
    box = re.search(r'viewBox="[^"]*"', svg)[0]  # type: ignore[index]
    # matplotlib's style sheet would apply to the whole page.
    body = svg[svg.index("</style>") :].partition("</defs>")[2]
    # Horizontal text is rotated by -0 degrees, which has no effect.
    body = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", body)
    # Without a font of its own, text inherits that of the page.
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    # Nothing refers to the ids of groups.
    body = re.sub(r'<g id="(?:figure|axes|patch|line2d|text|xtick|ytick|matplotlib\.axis|legend)_?\d*">', "<g>", body)
    # HTML has no namespace xlink.
    body = body.replace("xlink:href", "href")
    # All figures number their ids alike, and ids are unique in a page.
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", body)
    # Variables adapt colours to the page's light or dark mode.
    body = re.sub(r"#[0-9a-f]{6}\b", _css_variable, body)
    # Indentation and empty lines only make the page larger.
    body = re.sub(r"\s*\n\s*", "\n", body)
    label = escape(alt, quote=True)
    return f'<svg {box} style="--width:{width:.0f}px" role="img" aria-label="{label}">{body}'


def _css_variable(colour: re.Match[str]) -> str:
    name = COLOUR_NAMES.get(colour[0])
    return f"var(--{name})" if name else colour[0]
