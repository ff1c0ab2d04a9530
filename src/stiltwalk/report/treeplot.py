"""The figure of the orders: the tree of their steps and the score that each ends with."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from stiltwalk.report.drawing import LETTER, Figure, canvas, panel, style
from stiltwalk.report.looks import LEVELS, LIGHT, Names, count, number, over_seeds
from stiltwalk.report.tables import columns
from stiltwalk.sweep.trie import Order, prefixes

INK, MUTED, LINE, PAPER = (LIGHT[name] for name in ("ink", "muted", "line", "paper"))
ROW = 0.25  # inches


def trie(study: Mapping[str, Any], names: Names) -> Figure | None:
    """The orders as a tree of their steps, and beside each its score. None with fewer than two scores."""
    target = columns(study)[0]
    scores = {tuple(entry["steps"]): entry["scores"][target] for entry in study["orders"]}
    known = {order: found["mean"] for order, found in scores.items() if found["mean"] is not None}
    if len(known) < 2:
        return None
    controls = {tuple(entry["steps"]) for entry in study["orders"] if entry["control"]}
    paths: list[Order] = [(), *prefixes(scores)]
    rows, below = placed(paths, scores), {path: mean_below(path, known, controls) for path in paths}
    labels = {path: names.step(path[-1]) if path else "encoder" for path in paths}
    forks = {path[:-1] for path in paths if path}
    depth = [max((len(labels[p]) for p in forks if len(p) == d), default=0) for d in range(max(map(len, paths)) + 1)]
    at = [0.1 + sum(LETTER * letters + 0.2 for letters in depth[:d]) for d in range(len(depth))]
    ends = {path: at[len(path)] + 0.12 + LETTER * len(labels[path]) for path in paths}
    wide, high, across = max(ends.values()) + 0.15, ROW * len(scores), 2.6
    low, top = min(known.values()), max(known.values())
    with style():
        drawing = canvas(wide + across + 1.0, high + 0.5)
        tree, plot = panel(drawing, 0, 0.2, wide, high), panel(drawing, wide, 0.2, across, high)
        tree.set(xlim=(0, wide), ylim=(len(scores) - 0.5, -0.5))
        tree.axis("off")
        for path in paths:
            x, y = at[len(path)], rows[path]
            if path:
                tree.plot([at[len(path) - 1]] * 2 + [x], [rows[path[:-1]], y, y], color=MUTED, lw=0.8, zorder=1)
            if path in scores:
                tree.plot([x, wide], [y, y], color=LINE, lw=0.5, zorder=0)
            marker = "s" if path in controls else "o"
            fill = colour(below[path], low, top)
            size = 6 if path in scores else 4
            tree.plot([x], [y], marker, ms=size, mfc=fill, mec=INK, mew=0.6, zorder=3)
            weight = "bold" if path in scores and path not in controls else "normal"
            tree.text(x + 0.07, y - 0.06, labels[path], va="bottom", size=7.5, weight=weight)
        scored(plot, scores, controls, rows, low, top)
        plot.set_xlabel(f"test score, {mean_of(target)}")
    ordered = sorted(known, key=known.__getitem__)
    alt = (
        f"Tree of {count(len(scores) - len(controls), 'order')} and {count(len(controls), 'control')}, each with its "
        f"score, {mean_of(target)}. Highest is {names.order(ordered[-1])} with {number(top)}, lowest "
        f"{names.order(ordered[0])} with {number(low)}."
    )
    caption = (
        "Orders as a tree of steps; orders that begin alike share those steps. At the leaves the test score, "
        f"{mean_of(target)}{over_seeds(study, ', with its 95 % interval')}. ● an order, ■ a control; colour repeats "
        "the score, and at a fork is the mean of the orders beyond it."
    )
    return Figure("trie", caption, alt, drawing)


def mean_of(target: str) -> str:
    return "mean over targets" if target == "all" else target


def placed(paths: Sequence[Order], marked: Any) -> dict[Order, int]:
    """The row of each path, depth first: one for each that is marked; the others lie level with what follows."""
    rows: dict[Order, int] = {}
    row = sum(path in marked for path in paths)
    for path in reversed(paths):
        row -= path in marked
        rows[path] = row if path in marked else rows[next(p for p in paths if p and p[:-1] == path)]
    return rows


def mean_below(path: Order, known: Mapping[Order, float], controls: Any) -> float | None:
    """An order's own score, or the mean of those of the orders that go through a path."""
    if path in known:
        return known[path]
    found = [score for order, score in known.items() if order[: len(path)] == path and order not in controls]
    return sum(found) / len(found) if found else None


def colour(value: float | None, low: float, top: float) -> str:
    """The colour of a score; paper's without one."""
    if value is None:
        return PAPER
    return LIGHT[f"s{min(LEVELS - 1, int(LEVELS * (value - low) / ((top - low) or 1.0)))}"]


def scored(
    plot: Axes, scores: Mapping[Order, Any], controls: Any, rows: Mapping[Order, int], low: float, top: float
) -> None:
    """Scores with their intervals, a row each, and as numbers."""
    plot.set_ylim(len(scores) - 0.5, -0.5)
    plot.spines["left"].set_visible(False)
    plot.set_yticks([])
    if (base := scores.get((), {}).get("mean")) is not None:
        plot.axvline(base, color=MUTED, lw=0.8, ls="--", zorder=0)
        plot.text(base, -0.62, "baseline", ha="center", va="bottom", size=7, color=MUTED)
    for order, found in scores.items():
        y, mean = rows[order], found["mean"]
        plot.axhline(y, color=LINE, lw=0.5, zorder=0)
        text = "no score" if mean is None else number(mean)
        if mean is not None:
            if found["low"] is not None:
                plot.plot([found["low"], found["high"]], [y, y], color=INK, lw=1, zorder=2)
                text += f"  ±{(found['high'] - found['low']) / 2:.1f}"
            marker = "s" if order in controls else "o"
            plot.plot([mean], [y], marker, ms=6, mfc=colour(mean, low, top), mec=INK, mew=0.6, zorder=3)
        plot.text(1.03, y, text, transform=plot.get_yaxis_transform(), va="center", size=7.5)
