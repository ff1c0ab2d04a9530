"""The orders as a tree of their steps, with the score that each order ends with."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from stiltwalk.report.figure import CHARACTER_WIDTH, Figure, add_panel, figure_style, new_drawing
from stiltwalk.report.formatting import format_half_width, format_number
from stiltwalk.report.labels import OrderLabels
from stiltwalk.report.palette import INK, LINE, MUTED, PAPER, score_colour
from stiltwalk.report.views import MEAN_OF_TARGETS, Study, n_seeds, score_columns
from stiltwalk.report.wording import alt_text, caption
from stiltwalk.sweep.trie import Order, prefixes

ROW_HEIGHT, SCORES_WIDTH = 0.25, 2.6  # inches


@dataclass(frozen=True)
class Tree:
    """The tree of the steps of all orders and controls."""

    scores: Mapping[Order, Mapping[str, Any]]
    """By order or control its score, whose mean may be None."""
    controls: set[Order]
    paths: list[Order]
    """Every prefix of an order, depth first; the first is (), the encoder."""
    labels: Mapping[Order, str]
    """By path the label of its last step."""
    rows: Mapping[Order, int]

    @property
    def means(self) -> dict[Order, float]:
        """The means that are known."""
        return {order: score["mean"] for order, score in self.scores.items() if score["mean"] is not None}

    def marker(self, path: Order) -> str:
        """A square for a control, a circle for an order or a fork."""
        return "s" if path in self.controls else "o"

    def colour(self, path: Order) -> str:
        """The colour of a path's score; the paper's colour if there is no score."""
        mean = mean_below(path, self.means, self.controls)
        return PAPER if mean is None else score_colour(mean, min(self.means.values()), max(self.means.values()))


def order_tree(study: Study, labels: OrderLabels) -> Figure | None:
    """The tree of orders with their scores; None with fewer than two scores."""
    column = score_columns(study)[0]
    target = None if column == MEAN_OF_TARGETS else column
    tree = make_tree(study, column, labels)
    ranked = sorted(tree.means, key=tree.means.__getitem__)
    if len(ranked) < 2:
        return None
    with figure_style():
        drawing = draw_tree(tree, f"test score, {target or 'mean over targets'}")
    alt = alt_text(
        "order_tree",
        target=target,
        n_orders=len(tree.scores) - len(tree.controls),
        n_controls=len(tree.controls),
        best=labels.order(ranked[-1]),
        highest=tree.means[ranked[-1]],
        worst=labels.order(ranked[0]),
        lowest=tree.means[ranked[0]],
    )
    return Figure("trie", caption("order_tree", target=target, n_seeds=n_seeds(study)), alt, drawing)


def make_tree(study: Study, column: str, labels: OrderLabels) -> Tree:
    """Arrange the orders and controls of a study as a tree; `column` is the score to show."""
    scores = {tuple(entry["steps"]): entry["scores"][column] for entry in study["orders"]}
    paths: list[Order] = [(), *prefixes(scores)]
    return Tree(
        scores=scores,
        controls={tuple(entry["steps"]) for entry in study["orders"] if entry["control"]},
        paths=paths,
        labels={path: labels.step(path[-1]) if path else "encoder" for path in paths},
        rows=assign_rows(paths, scores),
    )


def assign_rows(paths: Sequence[Order], orders: Collection[Order]) -> dict[Order, int]:
    """Give each order a row of its own, depth first; any other path is level with its first continuation."""
    rows: dict[Order, int] = {}
    row = sum(path in orders for path in paths)
    for path in reversed(paths):
        row -= path in orders
        rows[path] = row if path in orders else rows[next(p for p in paths if p and p[:-1] == path)]
    return rows


def mean_below(path: Order, means: Mapping[Order, float], controls: Collection[Order]) -> float | None:
    """The mean of an order, or of the orders that continue a path; None without a score."""
    if path in means:
        return means[path]
    below = [mean for order, mean in means.items() if order[: len(path)] == path and order not in controls]
    return sum(below) / len(below) if below else None


def draw_tree(tree: Tree, score_label: str) -> Drawing:
    """Draw the tree on the left and the scores on the right."""
    x = node_positions(tree)
    ends = [x[len(path)] + 0.12 + CHARACTER_WIDTH * len(label) for path, label in tree.labels.items()]
    width, height = max(ends) + 0.15, ROW_HEIGHT * len(tree.scores)
    drawing = new_drawing(width + SCORES_WIDTH + 1.0, height + 0.5)
    branches = add_panel(drawing, 0, 0.2, width, height)
    scores = add_panel(drawing, width, 0.2, SCORES_WIDTH, height)
    branches.set(xlim=(0, width), ylim=(len(tree.scores) - 0.5, -0.5))
    branches.axis("off")
    for path in tree.paths:
        draw_node(branches, tree, path, x, width)
    draw_scores(scores, tree)
    scores.set_xlabel(score_label)
    return drawing


def node_positions(tree: Tree) -> list[float]:
    """The horizontal position of the nodes at each depth, in inches, with room for the labels of the forks before."""
    forks = {path[:-1] for path in tree.paths if path}
    positions = [0.1]
    for depth in range(max(map(len, tree.paths))):
        longest = max((len(tree.labels[path]) for path in forks if len(path) == depth), default=0)
        positions.append(positions[-1] + CHARACTER_WIDTH * longest + 0.2)
    return positions


def draw_node(panel: Axes, tree: Tree, path: Order, positions: Sequence[float], width: float) -> None:
    """Draw the node of a path, its label, and the line to the node before it."""
    x, y = positions[len(path)], tree.rows[path]
    is_order = path in tree.scores
    if path:
        parent_x, parent_y = positions[len(path) - 1], tree.rows[path[:-1]]
        panel.plot([parent_x, parent_x, x], [parent_y, y, y], color=MUTED, lw=0.8, zorder=1)
    if is_order:
        panel.plot([x, width], [y, y], color=LINE, lw=0.5, zorder=0)
    size = 6 if is_order else 4
    panel.plot([x], [y], tree.marker(path), ms=size, mfc=tree.colour(path), mec=INK, mew=0.6, zorder=3)
    weight = "bold" if is_order and path not in tree.controls else "normal"
    panel.text(x + 0.07, y - 0.06, tree.labels[path], va="bottom", size=7.5, weight=weight)


def draw_scores(panel: Axes, tree: Tree) -> None:
    """Draw each score with its interval, and print it as a number."""
    panel.set_ylim(len(tree.scores) - 0.5, -0.5)
    panel.spines["left"].set_visible(False)
    panel.set_yticks([])
    baseline = tree.means.get(())
    if baseline is not None:
        panel.axvline(baseline, color=MUTED, lw=0.8, ls="--", zorder=0)
        panel.text(baseline, -0.62, "baseline", ha="center", va="bottom", size=7, color=MUTED)
    for order, score in tree.scores.items():
        y, mean = tree.rows[order], score["mean"]
        panel.axhline(y, color=LINE, lw=0.5, zorder=0)
        text = "no score" if mean is None else f"{format_number(mean)}  {format_half_width(score)}".strip()
        if mean is not None:
            if score["low"] is not None:
                panel.plot([score["low"], score["high"]], [y, y], color=INK, lw=1, zorder=2)
            panel.plot([mean], [y], tree.marker(order), ms=6, mfc=tree.colour(order), mec=INK, mew=0.6, zorder=3)
        panel.text(1.03, y, text, transform=panel.get_yaxis_transform(), va="center", size=7.5)
