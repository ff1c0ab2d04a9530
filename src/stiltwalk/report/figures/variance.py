"""Shares of variance, as stacked bars."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from stiltwalk.report.figure import CHARACTER_WIDTH, Figure, add_panel, figure_style, new_drawing
from stiltwalk.report.formatting import format_p_cell, format_percent
from stiltwalk.report.palette import LIGHT, MUTED, PAPER
from stiltwalk.report.views import Study, score_columns
from stiltwalk.report.wording import alt_text, caption

Shares: TypeAlias = Mapping[str, float | None]
"""By component its share of the variance; None if it could not be estimated."""

COMPONENTS = {
    "order": "orders",
    "seed": "seeds",
    "run": "runs",
    "order_language": "order × language",
    "seed_language": "seed × language",
    "rest": "residual",
}
HATCHES = {
    "seed": "////",
    "run": "....",
    "order_language": "--",
    "seed_language": "xxxx",
    "rest": "++",
}  # not only colour
OF_MEAN, WITHIN_LANGUAGES = "of a target's mean score", "of a score in one language, minus the language's mean"
PANEL_WIDTH, GAP, ROW_HEIGHT = 3.0, 1.35, 0.27  # inches
MIN_LABELLED_SHARE = 0.09  # a smaller part of a bar has no room for its number


def variance_figure(study: Study) -> Figure | None:
    """Shares of the variance of mean scores and of scores within a language; None if nothing could be estimated."""
    columns, entries = score_columns(study), study["variance"]["targets"]
    panels: dict[str, dict[str, Shares]] = {
        OF_MEAN: {column: entries[column]["shares_of_mean"] for column in columns},
        WITHIN_LANGUAGES: {column: shares_within_languages(entries[column]["shares"]) for column in columns},
    }
    panels = {
        title: bars for title, bars in panels.items() if any(bar.get("order") is not None for bar in bars.values())
    }
    if not panels:
        return None
    left, height = CHARACTER_WIDTH * max(map(len, columns)) + 0.15, ROW_HEIGHT * len(columns)
    with figure_style():
        drawing = new_drawing(left + len(panels) * (PANEL_WIDTH + GAP), height + 1.0)
        for index, (title, bars) in enumerate(panels.items()):
            panel = add_panel(drawing, left + index * (PANEL_WIDTH + GAP), 0.55, PANEL_WIDTH, height)
            p_values = [p_label(entries[column]) for column in columns]
            draw_bars(panel, title, bars, p_values if index == 0 else None)
    between_orders = {column: entries[column]["shares_of_mean"].get("order") for column in columns}
    shares = [f"{column} {format_percent(share)}" for column, share in between_orders.items() if share is not None]
    text = caption("variance_figure", shows_languages=len(panels) > 1)
    return Figure("variance", text, alt_text("variance_figure", shares=shares), drawing)


def shares_within_languages(shares: Shares) -> Shares:
    """Shares of what remains when each language's mean over orders and seeds is removed; empty with one language."""
    if shares.get("language") is None:
        return {}
    known = {name: share for name, share in shares.items() if name != "language" and share is not None}
    total = sum(known.values())
    return {name: share / total for name, share in known.items()} if total else {}


def p_label(entry: Mapping[str, Any]) -> str:
    """The p value of the order and, in parentheses, the corrected one."""
    if entry["p"] is None:
        return ""
    corrected = entry["p_family_wise"]
    return f"p {format_p_cell(entry['p'])}" + (f" ({format_p_cell(corrected)})" if corrected is not None else "")


def draw_bars(panel: Axes, title: str, bars: Mapping[str, Shares], p_values: Sequence[str] | None) -> None:
    """Draw one bar for each target. The first panel, which has the p values, also names the targets."""
    limits: dict[str, Any] = {"xlim": (0, 1), "ylim": (len(bars) - 0.5, -0.5)}
    panel.set(**limits)
    panel.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    panel.set_yticks(range(len(bars)), list(bars) if p_values else [], size=8)
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    panel.set_xlabel(title, size=7.5)
    components = [name for name in COMPONENTS if any((shares.get(name) or 0) > 0 for shares in bars.values())]
    for row, shares in enumerate(bars.values()):
        if p_values or shares:
            draw_bar(panel, row, shares, components)
    for row, text in enumerate(p_values or []):
        panel.text(1.03, row, text, va="center", size=7)
    panel.legend(
        [Patch(**fill(name)) for name in components],
        [COMPONENTS[name] for name in components],
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=4 if len(components) > 3 else 3,
        borderpad=0,
        handlelength=1,
        columnspacing=1,
        handletextpad=0.4,
    )
    panel.set(**limits)  # bars change them


def draw_bar(panel: Axes, row: int, shares: Shares, components: Sequence[str]) -> None:
    """Draw one stacked bar, with the numbers of the parts that have room for one."""
    if shares.get("order") is None:
        panel.text(0.01, row, "not estimable", va="center", size=7, color=MUTED)
        return
    start = 0.0
    for name in components:
        share = shares.get(name) or 0.0
        panel.barh([row], [share], left=start, height=0.72, **fill(name))
        if share >= MIN_LABELLED_SHARE:
            box = {"facecolor": LIGHT[name], "edgecolor": "none", "pad": 0.8}
            panel.text(start + share / 2, row, f"{100 * share:.0f}", ha="center", va="center", size=7, bbox=box)
        start += share


def fill(component: str) -> dict[str, Any]:
    """The fill of a component's bars."""
    return {"facecolor": LIGHT[component], "hatch": HATCHES.get(component), "edgecolor": PAPER, "linewidth": 0.8}
