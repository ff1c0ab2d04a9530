"""Figures as files: the look of all of them, SVG and PNG of the same bytes for the same study, SVG for the page."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from stiltwalk.report.looks import COLOURS, LIGHT

STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib
    "font.size": 8,
    "text.hinting": "no_hinting",  # as wide in the PNG as in the SVG
    "svg.fonttype": "none",
    "svg.hashsalt": "stiltwalk",
    "text.color": LIGHT["ink"],
    "axes.edgecolor": LIGHT["muted"],
    "axes.labelcolor": LIGHT["ink"],
    "axes.facecolor": "none",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 8,
    "axes.unicode_minus": True,
    "xtick.color": LIGHT["muted"],
    "xtick.labelcolor": LIGHT["ink"],
    "ytick.color": LIGHT["muted"],
    "ytick.labelcolor": LIGHT["ink"],
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.frameon": False,
    "legend.fontsize": 7,
}
LETTER = 0.068  # inches, the width of one, about
NAMES = {light: name for name, (light, _) in COLOURS.items()}


@dataclass(frozen=True)
class Figure:
    """A drawing with its caption, and in words what it shows."""

    name: str
    caption: str
    alt: str
    canvas: Canvas

    def write(self, folder: Path) -> str:
        """<name>.svg and <name>.png in the folder; the SVG as the page has it."""
        folder.mkdir(parents=True, exist_ok=True)
        text = io.StringIO()
        with style():
            box = self.canvas.get_tightbbox().padded(0.1)  # once for both, by what PNG's text measures
            nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
            self.canvas.savefig(text, format="svg", metadata=nothing, facecolor="none", bbox_inches=box)
            png = folder / f"{self.name}.png"
            self.canvas.savefig(png, metadata={"Software": None}, facecolor="white", bbox_inches=box, dpi=200)
        (folder / f"{self.name}.svg").write_text(text.getvalue(), encoding="utf-8")
        return inline(text.getvalue(), self.name)


@contextmanager
def style() -> Iterator[None]:
    """The look of the figures, whatever a user's own settings of matplotlib are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def canvas(width: float, height: float) -> Canvas:
    """An empty figure, in inches."""
    return Canvas(figsize=(width, height))


def panel(drawing: Canvas, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place in inches, from the left and from the top."""
    whole, high = drawing.get_size_inches()
    return drawing.add_axes((left / whole, 1 - (top + height) / high, width / whole, height / high))


def inline(svg: str, name: str) -> str:
    """An SVG of matplotlib's for the page: ids of its own, the page's fonts, colours as variables, no fixed size."""
    width = float(re.search(r'<svg[^>]* width="([\d.]+)pt"', svg)[1]) * 96 / 72  # type: ignore[index]
    box = re.search(r'viewBox="[^"]*"', svg)[0]  # type: ignore[index]
    body = svg[svg.index("</style>") :].partition("</defs>")[2]
    body = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", body)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    body = re.sub(r'<g id="(?:figure|axes|patch|line2d|text|xtick|ytick|matplotlib\.axis|legend)_?\d*">', "<g>", body)
    body = body.replace("xlink:href", "href")
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", body)
    body = re.sub(r"#[0-9a-f]{6}\b", lambda match: f"var(--{NAMES[match[0]]})" if match[0] in NAMES else match[0], body)
    body = re.sub(r"\s*\n\s*", "\n", body)
    return f'<svg {box} style="--width:{width:.0f}px" role="img" aria-label="ALT">{body}'
