"""Tatoeba accuracy after each step, at the best and at the last hidden state."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, nan

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from stiltwalk.report.figure import Figure, add_panel, figure_style, new_drawing
from stiltwalk.report.formatting import format_number
from stiltwalk.report.labels import OrderLabels
from stiltwalk.report.palette import ACCENT, LINE, MUTED, PAPER
from stiltwalk.report.views import Study, n_seeds
from stiltwalk.report.wording import alt_text, caption

PANEL_WIDTH, PANEL_HEIGHT, GAP, MAX_PANELS_PER_ROW = 2.3, 1.25, 0.35, 4  # sizes in inches
MAX_DESCRIBED = 8  # orders in the alternative text


@dataclass(frozen=True)
class Trajectory:
    """The path of one order; every list has an item for the encoder and for each step."""

    order: str
    steps: list[str]
    best: list[tuple[float, int] | None]
    """The highest accuracy and the number of its hidden state."""
    last: list[float | None]
    """The accuracy at the last hidden state."""


def trajectory_figure(study: Study, labels: OrderLabels) -> Figure | None:
    """A panel for each order, without orders of a single step if there are longer ones; None without any score."""
    entries = [e for e in study["trajectory"] if any(score is not None for layers in e["layers"] for score in layers)]
    if not entries:
        return None
    longer = [entry for entry in entries if len(entry["order"]) > 1]
    trajectories = [
        make_trajectory(entry["order"], entry["checkpoints"], entry["layers"], labels) for entry in longer or entries
    ]
    with figure_style():
        drawing = draw_trajectories(trajectories)
    text = caption(
        "trajectory_figure",
        n_seeds=n_seeds(study),
        leaves_out_single_steps=0 < len(longer) < len(entries),
    )
    alt = alt_text(
        "trajectory_figure",
        orders=[describe_trajectory(trajectory) for trajectory in trajectories[:MAX_DESCRIBED]],
        n_more=max(0, len(trajectories) - MAX_DESCRIBED),
    )
    return Figure("trajectories", text, alt, drawing)


def make_trajectory(
    order: Sequence[str], checkpoints: Sequence[str], scores: Sequence[Sequence[float | None]], labels: OrderLabels
) -> Trajectory:
    """Find the best and the last hidden state after each step; `scores` are checkpoints x hidden states."""
    steps = [labels.step(name.partition("-")[2]) for name in checkpoints[1:]]
    known = [[(score, layer) for layer, score in enumerate(layers) if score is not None] for layers in scores]
    return Trajectory(
        labels.order(order),
        ["enc" if labels.codes else "encoder", *steps],
        [max(pairs, default=None) for pairs in known],
        [layers[-1] if layers else None for layers in scores],
    )


def describe_trajectory(trajectory: Trajectory) -> str:
    """The first and the last of the best accuracies in words."""
    reached = [best[0] for best in trajectory.best if best is not None]
    return f"{trajectory.order} from {format_number(reached[0])} to {format_number(reached[-1])}"


def draw_trajectories(trajectories: Sequence[Trajectory]) -> Drawing:
    """Draw a panel for each order, with a common axis of accuracies."""
    per_row = min(MAX_PANELS_PER_ROW, len(trajectories))
    n_rows = ceil(len(trajectories) / per_row)
    drawing = new_drawing(0.4 + per_row * (PANEL_WIDTH + GAP), n_rows * (PANEL_HEIGHT + 0.75) + 0.3)
    panels: list[Axes] = []
    for index, trajectory in enumerate(trajectories):
        row, place_in_row = divmod(index, per_row)
        left, top = 0.4 + place_in_row * (PANEL_WIDTH + GAP), 0.5 + row * (PANEL_HEIGHT + 0.75)
        panel = add_panel(drawing, left, top, PANEL_WIDTH, PANEL_HEIGHT)
        if panels:
            panel.sharey(panels[0])
        panels.append(panel)
        draw_trajectory(panel, trajectory)
        panel.tick_params(labelleft=place_in_row == 0)
    panels[0].legend(loc="lower left", bbox_to_anchor=(-0.02, 1.18), ncols=2)
    low, high = panels[0].get_ylim()
    panels[0].set_ylim(low, high + 0.12 * (high - low))  # room for the numbers above the points
    return drawing


def draw_trajectory(panel: Axes, trajectory: Trajectory) -> None:
    """Draw the two lines of one order."""
    x = range(len(trajectory.steps))
    last = [nan if score is None else score for score in trajectory.last]
    best = [nan if pair is None else pair[0] for pair in trajectory.best]
    panel.plot(x, last, "s--", color=MUTED, mfc=PAPER, ms=4, lw=1, label="last hidden state")
    panel.plot(x, best, "o-", color=ACCENT, ms=4, lw=1.4, label="best hidden state (its number)")
    for place, pair in enumerate(trajectory.best):
        if pair is not None:
            score, layer = pair
            panel.annotate(str(layer), (place, score), (0, 4), textcoords="offset points", ha="center", size=6.5)
    panel.set_title(trajectory.order, loc="left", size=7.5, pad=8)
    panel.set_xticks(list(x), trajectory.steps, size=6.5)
    panel.set_xlim(-0.35, len(trajectory.steps) - 0.65)
    panel.grid(axis="y", color=LINE, lw=0.5)
    panel.set_axisbelow(True)
