"""The figures of a study; the keys are those of `study.effects.order_effects`."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from stiltwalk.report import heat
from stiltwalk.report.drawing import LETTER, Figure, canvas, panel, style
from stiltwalk.report.heat import Heat
from stiltwalk.report.looks import (
    LIGHT,
    STEPS,
    Names,
    bare_p,
    beyond_zero,
    listed,
    number,
    over_seeds,
    percent,
    signed,
)
from stiltwalk.report.tables import columns

INK, MUTED, LINE, ACCENT, PAPER = (LIGHT[name] for name in ("ink", "muted", "line", "accent", "paper"))
PARTS = {
    "order": "orders",
    "seed": "seeds",
    "run": "runs",
    "order_language": "order × language",
    "seed_language": "seed × language",
    "rest": "rest",
}
# Beside their colours, for those who see none.
HATCHES = {"seed": "////", "run": "....", "order_language": "--", "seed_language": "xxxx", "rest": "++"}


def positions(study: Mapping[str, Any]) -> Figure | None:
    """A forest plot of the effects of positions, a panel a target. None where none has an interval."""
    targets, found = columns(study), study["positions"]
    effects = {
        target: {
            (task, place): effect
            for task, places in found[target]["tasks"].items()
            for place, effect in places.items()
            if effect["low"] is not None
        }
        for target in targets
    }
    targets = [target for target in targets if effects[target]]
    if not targets:
        return None
    keys = list(dict.fromkeys(key for target in targets for key in effects[target]))
    tasks = list(dict.fromkeys(task for task, _ in keys))
    y = {key: row * 0.17 + tasks.index(key[0]) * 0.1 for row, key in enumerate(keys)}
    left, wide, high, gap = LETTER * max(len(f"{t} {p}") for t, p in keys) + 0.15, 1.6, max(y.values()) + 0.25, 0.2
    across = min(len(targets), 5)
    down = ceil(len(targets) / across)
    end = 1.08 * max(abs(e[k]) for t in targets for e in effects[t].values() for k in ("low", "high")) or 1.0
    with style():
        drawing = canvas(left + across * (wide + gap), down * (high + 0.65) + 0.1)
        for index, target in enumerate(targets):
            column, row = index % across, index // across
            plot = panel(drawing, left + column * (wide + gap), 0.25 + row * (high + 0.65), wide, high)
            plot.set(xlim=(-end, end), ylim=(high - 0.12, -0.13))
            plot.set_title(target, loc="left", weight="bold", pad=4)
            plot.axvline(0, color=MUTED, lw=0.8, zorder=0)
            plot.spines["left"].set_visible(False)
            plot.set_yticks(list(y.values()), [f"{t} {p}" for t, p in keys] if column == 0 else [], size=7.5)
            plot.tick_params(axis="y", length=0)
            for key, effect in effects[target].items():
                draw_effect(plot, y[key], effect, {"first": "<", "middle": "D", "last": ">"}[key[1]])
            if row == down - 1 or index + across >= len(targets):
                plot.set_xlabel("points", size=7, labelpad=2)
    clear = [
        f"{task} {p} on {t} ({signed(e['effect'])})"
        for t in targets
        for (task, p), e in effects[t].items()
        if beyond_zero(e)
    ]
    total = sum(map(len, effects.values()))
    alt = f"Forest plot of {total} effects of a task's position, by target. "
    alt += f"{len(clear)} have intervals without zero" + (f", among them {listed(clear[:5])}." if clear else ".")
    caption = (
        "Effect of a task's position on each target: deviation from the task's mean over positions, with 95 % "
        "interval. ◂ first, ◆ middle, ▸ last; filled where the interval does not hold zero."
    )
    return Figure("positions", caption, alt, drawing)


def draw_effect(plot: Axes, y: float, effect: Mapping[str, Any], marker: str) -> None:
    clear = beyond_zero(effect)
    shade = ACCENT if clear else MUTED
    plot.plot([effect["low"], effect["high"]], [y, y], color=shade, lw=1.4 if clear else 0.9, zorder=1)
    plot.plot([effect["effect"]], [y], marker, ms=4.5, mfc=ACCENT if clear else PAPER, mec=shade, mew=0.9, zorder=2)


def variance(study: Mapping[str, Any]) -> Figure | None:
    """Shares of variance as bars, of the mean over languages and of a single language. None where nothing is known."""
    found, targets = study["variance"]["targets"], columns(study)
    views = {
        "of a target's mean score": {target: found[target]["shares_of_mean"] for target in targets},
        "of a score in one language, less the language's mean": {
            t: within_languages(found[t]["shares"]) for t in targets
        },
    }
    views = {view: bars for view, bars in views.items() if any(b.get("order") is not None for b in bars.values())}
    if not views:
        return None
    left, wide, high = LETTER * max(map(len, targets)) + 0.15, 3.0, 0.27 * len(targets)
    between_panels = 1.35
    with style():
        drawing = canvas(left + len(views) * (wide + between_panels), high + 1.0)
        for number_, (view, bars) in enumerate(views.items()):
            plot = panel(drawing, left + number_ * (wide + between_panels), 0.55, wide, high)
            plot.set(xlim=(0, 1), ylim=(len(targets) - 0.5, -0.5))
            plot.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
            plot.set_yticks(range(len(targets)), targets if number_ == 0 else [], size=8)
            plot.tick_params(axis="y", length=0)
            plot.spines["left"].set_visible(False)
            plot.set_xlabel(view, size=7.5)
            parts = [p for p in PARTS if any((bars[t].get(p) or 0) > 0 for t in targets)]
            for row, target in enumerate(targets):
                if number_ == 0 or bars[target]:
                    bar(plot, row, bars[target], parts)
                if number_ == 0:
                    p, family = found[target]["p"], found[target]["p_family_wise"]
                    text = (
                        "" if p is None else f"p {bare_p(p)}" + (f" ({bare_p(family)})" if family is not None else "")
                    )
                    plot.text(1.03, row, text, va="center", size=7)
            plot.legend(
                [Patch(**filling(part)) for part in parts],
                [PARTS[part] for part in parts],
                loc="lower left",
                bbox_to_anchor=(-0.01, 1.0),
                ncols=4 if len(parts) > 3 else 3,
                borderpad=0,
                handlelength=1,
                columnspacing=1,
                handletextpad=0.4,
            )
            plot.set(xlim=(0, 1), ylim=(len(targets) - 0.5, -0.5))
    told = [
        f"{t} {percent(found[t]['shares_of_mean'].get('order'))}"
        for t in targets
        if found[t]["shares_of_mean"].get("order") is not None
    ]
    caption = (
        "Where the variance comes from: orders, seeds, single runs (the noise of training once more); on the right "
        "by language. p of the order by permutation, in parentheses corrected for the number of targets."
    )
    return Figure(
        "variance", caption, f"Bars of shares of variance by target. Between orders: {listed(told)}.", drawing
    )


def within_languages(shares: Mapping[str, float | None]) -> dict[str, float | None]:
    """Shares of what is left when every language's mean over orders and seeds is set aside; none with one language."""
    if shares.get("language") is None:
        return {}
    parts = {part: share for part, share in shares.items() if part != "language" and share is not None}
    total = sum(parts.values())
    return {part: share / total for part, share in parts.items()} if total else {}


def bar(plot: Axes, row: int, shares: Mapping[str, float | None], parts: Sequence[str]) -> None:
    """One stacked bar, each part as long as its share, with its number where there is room."""
    if shares.get("order") is None:
        plot.text(0.01, row, "not estimable", va="center", size=7, color=MUTED)
        return
    begin = 0.0
    for part in parts:
        share = shares.get(part) or 0.0
        plot.barh([row], [share], left=begin, height=0.72, **filling(part))
        if share >= 0.09:
            behind = {"facecolor": LIGHT[part], "edgecolor": "none", "pad": 0.8}
            plot.text(begin + share / 2, row, f"{100 * share:.0f}", ha="center", va="center", size=7, bbox=behind)
        begin += share


def filling(part: str) -> dict[str, Any]:
    return {"facecolor": LIGHT[part], "hatch": HATCHES.get(part), "edgecolor": PAPER, "linewidth": 0.8}


def trajectories(study: Mapping[str, Any], names: Names) -> Figure | None:
    """Retrieval after each step, at the best and at the last hidden state, a panel an order."""
    entries = [e for e in study["trajectory"] if any(v is not None for layers in e["layers"] for v in layers)]
    longer = [entry for entry in entries if len(entry["order"]) > 1]
    dropped, entries = bool(longer) and len(longer) < len(entries), longer or entries
    if not entries:
        return None
    across = min(4, len(entries))
    down, wide, high, gap = ceil(len(entries) / across), 2.3, 1.25, 0.35
    told = []
    with style():
        drawing = canvas(0.4 + across * (wide + gap), down * (high + 0.75) + 0.3)
        shared = None
        for index, entry in enumerate(entries):
            column, row = index % across, index // across
            plot = panel(drawing, 0.4 + column * (wide + gap), 0.5 + row * (high + 0.75), wide, high)
            if shared is not None:
                plot.sharey(shared)
            shared = shared or plot
            steps = [
                "enc" if names.codes else "encoder",
                *(names.step(name.partition("-")[2]) for name in entry["checkpoints"][1:]),
            ]
            best = [
                max(((v, i) for i, v in enumerate(layers) if v is not None), default=None) for layers in entry["layers"]
            ]
            last = [layers[-1] if layers else None for layers in entry["layers"]]
            x = range(len(steps))
            plot.plot(
                x,
                [float("nan") if v is None else v for v in last],
                "s--",
                color=MUTED,
                mfc=PAPER,
                ms=4,
                lw=1,
                label="last hidden state",
            )
            plot.plot(
                x,
                [float("nan") if b is None else b[0] for b in best],
                "o-",
                color=ACCENT,
                ms=4,
                lw=1.4,
                label="best hidden state (its number)",
            )
            for place, b in enumerate(best):
                if b is not None:
                    plot.annotate(str(b[1]), (place, b[0]), (0, 4), textcoords="offset points", ha="center", size=6.5)
            plot.set_title(names.order(entry["order"]), loc="left", size=7.5, pad=8)
            plot.set_xticks(list(x), steps, size=6.5)
            plot.set_xlim(-0.35, len(steps) - 0.65)
            plot.tick_params(labelleft=column == 0)
            plot.grid(axis="y", color=LINE, lw=0.5)
            plot.set_axisbelow(True)
            if index == 0:
                plot.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.18), ncols=2)
            reached = [b[0] for b in best if b is not None]
            told.append(f"{names.order(entry['order'])} from {number(reached[0])} to {number(reached[-1])}")
        if shared is not None:
            low, top = shared.get_ylim()
            shared.set_ylim(low, top + 0.12 * (top - low))
    more = f" and {len(told) - 8} more orders" if len(told) > 8 else ""
    alt = f"Tatoeba accuracy at the best hidden state over the steps: {'; '.join(told[:8])}{more}."
    caption = (
        "Tatoeba accuracy without any tuning, after each step: at the hidden state that is best there, whose number is "
        f"given, and at the last{over_seeds(study)}."
    )
    caption += " Orders of a single step are in the table only." if dropped else ""
    return Figure("trajectories", caption, alt, drawing)


def heat_maps(name: str, caption: str, heats: Sequence[Heat], end: float | None = None) -> Figure:
    """Heat maps for a paper, side by side; numbers where there are not too many. The page has them as tables."""
    end = end or heat.limit(heats)
    numbers = max(len(h.rows) * len(h.columns) for h in heats) <= 400
    texts = [text for h in heats for row in h.texts for text in row] if numbers else []
    cell = max(0.17, max((LETTER * 0.85 * len(text) + 0.08 for text in texts), default=0))
    names = LETTER * max(len(column) for h in heats for column in h.columns)
    flat = names < cell
    head = 0.42 if flat else names + 0.35
    left = LETTER * max(len(label) for h in heats for label in h.rows) + 0.1
    wide, high = cell * max(len(h.columns) for h in heats), 0.19 * max(len(h.rows) for h in heats)
    across = max(1, min(len(heats), int(10 / (left + wide + 0.3))))
    down = ceil(len(heats) / across)
    shades = ListedColormap([LIGHT[f"d{i}"] for i in range(2 * STEPS + 1)])
    with style():
        drawing = canvas(across * (left + wide + 0.3) + 1.0, down * (head + high + 0.1) + 0.5)
        for index, h in enumerate(heats):
            row, column = divmod(index, across)
            x, y = left + column * (left + wide + 0.3), head + row * (head + high + 0.1)
            plot = panel(drawing, x, y, cell * len(h.columns), 0.19 * len(h.rows))
            draw_heat(plot, h, end, shades, flat, numbers)
            plot.text(
                -left / (cell * len(h.columns)),
                1 + (head - 0.2) / (0.19 * len(h.rows)),
                h.title,
                transform=plot.transAxes,
                weight="bold",
            )
        scale = panel(drawing, left, down * (head + high + 0.1) + 0.12, 1.4, 0.12)
        scale.pcolormesh([range(2 * STEPS + 1)], cmap=shades, edgecolor=PAPER, linewidth=0.5)
        scale.set_yticks([])
        scale.set_xticks([0.5, STEPS + 0.5, 2 * STEPS + 0.5], [signed(-end, 1), "0", signed(end, 1)])
        scale.tick_params(length=0, pad=2)
        scale.spines[:].set_visible(False)
    return Figure(name, caption, caption, drawing)


def draw_heat(plot: Axes, h: Heat, end: float, shades: ListedColormap, flat: bool, numbers: bool) -> None:
    levels = [[float("nan") if v is None else int(heat.shade(v, end)[1:]) for v in row] for row in h.values]
    plot.pcolormesh(levels, cmap=shades, vmin=-0.5, vmax=2 * STEPS + 0.5, edgecolor=PAPER, linewidth=0.5)
    plot.invert_yaxis()
    plot.xaxis.tick_top()
    plot.set_xticks([i + 0.5 for i in range(len(h.columns))], h.columns, rotation=0 if flat else 90)
    plot.set_yticks([i + 0.5 for i in range(len(h.rows))], h.rows)
    plot.tick_params(length=0, pad=2)
    plot.spines[:].set_visible(False)
    for i, row in enumerate(h.texts if numbers else []):
        for j, text in enumerate(row):
            plot.text(j + 0.5, i + 0.52, text, ha="center", va="center", size=6.5)
