"""The tables of a study, one function each; the keys are those of `study.effects.order_effects`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import factorial
from typing import Any

from stiltwalk.analysis.anova import LEVEL
from stiltwalk.report.booktabs import Cell, Row, Table
from stiltwalk.report.looks import (
    Names,
    bare_p,
    between,
    beyond_zero,
    half_width,
    listed,
    number,
    over_seeds,
    percent,
    signed,
)

BEST, CLOSE, ABOVE = "★", "≈", "▲"
FEWEST = 5  # orders whose rankings are compared: with four even a tau of 1 has a p of 1/12


def columns(study: Mapping[str, Any]) -> list[str]:
    """The mean over the targets, "all", and the targets; a target alone where there is one, for then it is all.

    Like everything on the page they stand as design.targets has them.
    """
    targets = study["design"]["targets"]
    return targets if len(targets) == 1 else ["all", *targets]


def ranked(study: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of orders and controls, best mean first, those without a score last."""
    first = columns(study)[0] if study["design"]["targets"] else "all"

    def rank(entry: Mapping[str, Any]) -> tuple[bool, float, list[str]]:
        mean = entry["scores"].get(first, {}).get("mean")
        return mean is None, -(mean or 0.0), entry["steps"]

    return sorted(study["orders"], key=rank)


def estimate(found: Mapping[str, Any], value: str = "mean") -> Cell:
    """An effect with its interval; bold where zero is outside it."""
    strong = beyond_zero(found)
    return Cell(signed(found[value]), between(found), "*" if strong else "", "strong" if strong else "")


def word(text: str) -> Cell:
    return Cell(text, style="word")


def settings(study: Mapping[str, Any]) -> Table:
    found = {name: str(value) for name, value in study["settings"].items()}
    records = [{"setting": name, "value": value} for name, value in found.items()]
    rows = [(name, [word(value)]) for name, value in found.items()]
    return Table("settings", "What all experiments share", ["setting", "value"], [("", rows)], records)


def orders(study: Mapping[str, Any], names: Names) -> Table:
    """Mean and interval of every order and control by target, the best order of each target marked."""
    targets, entries = columns(study), ranked(study)
    proper = [entry for entry in entries if not entry["control"]]
    best = {
        target: max(
            (e["scores"][target] for e in proper if e["scores"][target]["mean"] is not None),
            key=lambda found: found["mean"],
            default=None,
        )
        for target in targets
    }
    seeds = len(study["design"]["seeds"])

    def cell(entry: Mapping[str, Any], target: str) -> Cell:
        found, top = entry["scores"][target], best[target]
        if found["mean"] is None:
            return Cell("–")
        missing = f"n = {found['n']}" if found["n"] < seeds else ""
        small = " ".join(filter(None, [half_width(found), missing]))
        mark = standing(found["mean"], top, entry["control"]) if top and len(proper) > 1 else ""
        return Cell(number(found["mean"]), small, mark, {BEST: "best", CLOSE: "close", ABOVE: "close"}.get(mark, ""))

    def rows(control: bool) -> list[Row]:
        chosen = [entry for entry in entries if entry["control"] == control]
        return [(names.order(entry["steps"]), [cell(entry, target) for target in targets]) for entry in chosen]

    records = [
        {"order": ",".join(entry["steps"]), "control": entry["control"], "target": target} | entry["scores"][target]
        for entry in study["orders"]
        for target in ["all", *study["design"]["targets"]]
    ]
    groups = [(title, found) for title, found in (("Orders", rows(False)), ("Controls", rows(True))) if found]
    leaks = {target: listed(tasks) for target, tasks in (study.get("leaks") or {}).items()}
    caption = [
        f"Test scores by order and target{over_seeds(study, f', mean of {seeds} seeds ± half the 95 % interval')}",
        "all, the mean over targets" if "all" in targets else "",
        legend({cell.mark for _, found in groups for _, cells in found for cell in cells}),
    ]
    text = "; ".join(filter(None, caption)) + "."
    if told := same_leaks([(target, leaks[target]) for target in targets if target in leaks]):
        text += (
            " †\u00a0leak: an intermediate task trains on the target's own training rows "
            f"({told}); what that adds is not transfer."
        )
    daggers = {target: f"leak: {tasks}" for target, tasks in leaks.items()}
    return Table("orders", text, ["order", *targets], groups, records, daggers=daggers)


def legend(used: set[str]) -> str:
    """What the marks beside scores mean, of those that are used."""
    told = {
        BEST: "the order with the highest test score (validation may choose another)",
        CLOSE: f"within the interval of {BEST}",
        ABOVE: f"a control that scores higher than {BEST}",
    }
    return ", ".join(f"{mark}\u00a0{meaning}" for mark, meaning in told.items() if mark in used)


def same_leaks(leaks: Sequence[tuple[str, str]]) -> str:
    """Targets with the tasks that hold their rows, `xnli: mnli; xquad, mlqa: squad`."""
    together: dict[str, list[str]] = {}
    for target, tasks in leaks:
        together.setdefault(tasks, []).append(target)
    return "; ".join(f"{', '.join(targets)}: {tasks}" for tasks, targets in together.items())


def standing(mean: float, top: Mapping[str, Any], control: bool) -> str:
    """The mark of a score beside that of the best order; what is only equal when rounded is not the best."""
    if not control and mean >= top["mean"]:
        return BEST
    if control and mean > top["mean"]:
        return ABOVE
    return CLOSE if top["low"] is not None and mean >= top["low"] else ""


def missing(study: Mapping[str, Any], names: Names) -> Table:
    """The cells that are not there, a line an order and seed."""
    found: dict[tuple[str, Any], list[str]] = {}
    for cell in study["design"]["missing"]:
        found.setdefault((names.order(cell["order"]), cell["seed"]), []).append(cell["target"])
    everything = study["design"]["targets"]
    rows = [
        (order, [Cell(str(seed)), word("every target" if len(lost) == len(everything) else ", ".join(lost))])
        for (order, seed), targets in found.items()
        for lost in [sorted(targets, key=everything.index)]
    ]
    records = [{**cell, "order": ",".join(cell["order"])} for cell in study["design"]["missing"]]
    return Table("missing", "Missing scores", ["order", "seed", "targets"], [("", rows)], records)


def variance(study: Mapping[str, Any]) -> Table:
    """Shares of variance and p values by target."""
    found = study["variance"]["targets"]
    parts = ("order", "seed", "run")
    rows: list[Row] = []
    records = []
    for target in columns(study):
        entry = found[target]
        shown = [Cell(percent(entry["shares_of_mean"].get(part))) for part in parts]
        p = Cell(bare_p(entry["p"]))
        adjusted = entry["p_family_wise"]
        marked = adjusted is not None and adjusted <= LEVEL
        family = Cell(bare_p(adjusted), mark="*" if marked else "", style="strong" if marked else "")
        rows.append((target, [*shown, p, family]))
        records.append(
            {"target": target, "p": entry["p"], "p_family_wise": adjusted}
            | {f"share_of_mean_{part}": entry["shares_of_mean"].get(part) for part in parts}
            | {f"share_{part}": value for part, value in entry["shares"].items()}
            | {f"component_{part}": value for part, value in entry["components"].items()}
        )
    head = ["target", "orders", "seeds", "runs", "p", "p, corrected"]
    caption = (
        "Shares of the variance of a target's mean score, and p of the order by permutation, single and corrected for "
        "the number of targets. * at most 0.05 after correction."
    ) + least_p(study)
    return Table("variance", caption, head, [("", rows)], records)


def least_p(study: Mapping[str, Any]) -> str:
    """What p a difference between first tasks alone can have, where orders share their first step."""
    first = Counter(steps[0] for steps in study["design"]["orders"])
    if max(first.values()) < 2:
        return ""
    least = factorial(len(first)) ** (len(study["design"]["seeds"]) - 1)
    return (
        " Orders that share their first step share its luck and are permuted together: where first tasks alone differ, "
        f"p is 1/{least:,} at the least."
    )


def positions(study: Mapping[str, Any]) -> Table:
    """Effects of a task's position by target, those with an interval."""
    found, targets = study["positions"], columns(study)
    places = [(task, place) for task, effects in found[targets[0]]["tasks"].items() for place in effects]
    kept = [(t, p) for t, p in places if any(found[target]["tasks"][t][p]["low"] is not None for target in targets)]
    rows = [
        (f"{task} {place}", [estimate(found[target]["tasks"][task][place], "effect") for target in targets])
        for task, place in kept
    ]
    records = [
        {"target": target, "task": task, "position": place} | found[target]["tasks"][task][place]
        for target in targets
        for task, place in places
    ]
    caption = "Effect of a task's position in points, deviation from its mean over positions, with 95 % interval. "
    caption += "* the interval does not hold zero."
    return Table("positions", caption, ["task, position", *targets], [("", rows)], records)


def agreement(study: Mapping[str, Any]) -> Table:
    """Kendall's W of the targets, and of the languages of each target."""
    found = {"targets": study["agreement"]["targets"]}
    by_target = study["agreement"]["languages"]
    found |= {f"languages of {target}": by_target[target] for target in study["design"]["targets"]}
    rows = [
        (judges, [Cell(number(e["w"], 2)), Cell(str(e["judges"])), Cell(str(e["orders"]))])
        for judges, e in found.items()
        if e["w"] is not None and e["orders"] >= FEWEST
    ]
    caption = (
        "Do they rank the orders alike? Kendall's W: 1 where all do, 0 where they have nothing in common. All judges "
        "of a run share its luck, which counts as agreement too: there is no p."
    )
    records = [{"judges": judges} | entry for judges, entry in found.items()]
    return Table("agreement", caption, ["judges", "W", "how many", "orders"], [("", rows)], records)


def recency(study: Mapping[str, Any]) -> Table:
    """What ending with a task of the target's own kind gives, where that is not all in which the orders differ."""
    all_found = study["recency"]["targets"]
    found = {target: all_found[target] for target in study["design"]["targets"] if target in all_found}
    told = {t: e for t, e in found.items() if e["low"] is not None and (e["share_by_chance"] or 0) < 1}
    rows: list[Row] = [
        (
            target,
            [
                word(listed(entry["own_kind"])),
                estimate(entry, "difference"),
                Cell(percent(entry["share"])),
                Cell(percent(entry["share_by_chance"])),
                Cell(bare_p(entry["p_remaining"])),
            ],
        )
        for target, entry in told.items()
    ]
    over = study["recency"]["over_targets"]
    if over["mean"] is not None and len(told) == len(found) > 1:
        rows.append(("mean over these", [Cell(""), estimate(over), *[Cell("")] * 3]))
    records = [{"target": t} | e | {"own_kind": ",".join(e["own_kind"])} for t, e in found.items()]
    records.append({"target": "over_targets", "difference": over["mean"]} | {k: over[k] for k in ("n", "low", "high")})
    caption = (
        "Orders that end with a task of the target's own kind less the others, in points with 95 % interval; the share "
        "of the differences between orders that this explains, what chance alone would, and p of what remains. "
        "* the interval does not hold zero."
    )
    head = ["target", "own kind", "difference", "explains", "by chance", "p of the rest"]
    return Table("recency", caption, head, [("", rows)], records)


def best(study: Mapping[str, Any], names: Names) -> Table:
    """The order that validation chooses for each target, and its gains."""
    rows: list[Row] = []
    records = []
    for target in columns(study):
        entry = study["best"][target]
        chosen, held, span = entry["order"], entry["held_out_seed"], entry["range"]
        if chosen is None:
            continue
        rows.append(
            (
                target,
                [
                    word(names.order(chosen)),
                    Cell(number(entry["test"]["mean"]), half_width(entry["test"])),
                    estimate(entry["gain_over_baseline"]),
                    estimate(entry["gain_over_single"]) if entry["single"] else Cell("–"),
                    word(names.order([entry["single"]]) if entry["single"] else "–"),
                    estimate(entry["gain_over_joint"]),
                    Cell(signed(held["gain_over_baseline"]["mean"])),
                    Cell(signed(held["gain_over_single"]["mean"])),
                    Cell(number(span["difference"], 2), over_seeds(study, f"chance {number(span['by_chance'], 2)}")),
                ],
            )
        )
        flat = {"target": target, "order": ",".join(chosen), "single": entry["single"]}
        flat |= {"chosen_on": ",".join(entry["chosen_on"]), "validation": entry["validation"]}
        for name in ("test", "gain_over_baseline", "gain_over_single", "gain_over_joint"):
            flat |= {f"{name}_{key}": value for key, value in entry[name].items()}
        flat |= {f"held_out_{name}": value["mean"] for name, value in held.items()}
        flat |= {"range": span["difference"], "range_by_chance": span["by_chance"]}
        records.append(flat)
    head = ["target", "order", "test", "gain over none", "gain over single task", "single task", "gain over one step"]
    head = [*head, "over none, other seeds", "over single, other seeds", "best − worst on the test"]
    found = Table("best", "", head, [("", rows)], records).trimmed()
    gained = any(name.startswith("gain") for name in found.head)
    caption = [
        "The order that English validation chooses and its test score",
        over_seeds(study, "gains in points, paired by seed, with 95 % interval (* zero is not in it)")
        if gained
        else "",
        "“other seeds”: gains where each seed's order is chosen on the other seeds"
        if any(name.endswith("other seeds") for name in found.head)
        else "",
        "the best order less the worst on the test itself"
        + over_seeds(study, ", with what equal orders would show by chance"),
    ]
    return replace(found, caption="; ".join(filter(None, caption)) + ".")


def detectable(study: Mapping[str, Any]) -> Table:
    """What a comparison of two orders can tell."""
    found = study["detectable"]
    rows: list[Row] = [
        (
            target,
            [
                Cell(number(found[target]["noise_sd"], 2)),
                Cell(str(found[target]["seeds"])),
                Cell(number(found[target]["difference"], 2)),
                Cell(str(found[target]["seeds_for_half_a_point"] or "–")),
            ],
        )
        for target in columns(study)
    ]
    records = [{"target": target} | found[target] for target in ["all", *study["design"]["targets"]]]
    caption = (
        "The noise of a run (sd, points), and the smallest true difference of two orders that a paired t test shows "
        "four times in five (5 %, two-sided)."
    )
    head = ["target", "noise", "seeds", "detectable difference", "seeds for 0.5 points"]
    return Table("detectable", caption, head, [("", rows)], records)


def runs(study: Mapping[str, Any], names: Names) -> Table:
    """The runs that have a flag."""
    flagged = [run for run in study["runs"] if run["flags"]]
    rows = [
        (str(run["name"]), [word(names.order(run["order"])), Cell(str(run["seed"])), word("; ".join(run["flags"]))])
        for run in flagged
    ]
    records = [
        {"name": r["name"], "order": ",".join(r["order"]), "seed": r["seed"], "flags": "; ".join(r["flags"])}
        for r in flagged
    ]
    caption = f"{len(flagged)} of {len(study['runs'])} runs with a flag"
    return Table("runs", caption, ["run", "order", "seed", "flags"], [("", rows)], records)


def measures(study: Mapping[str, Any], names: Names) -> Table:
    """The measures of retention by order."""
    kinds = ("average_accuracy", "backward_transfer", "forgetting", "forward_transfer")
    rounded = [[(e["measures"].get(kind) or {}).get("mean") for kind in kinds[1:3]] for e in study["retention"]]
    same = all(signed(loss, 1) == signed(gain and -gain, 1) for gain, loss in rounded)
    shown = [kind for kind in kinds if kind != "forgetting" or not same]

    def cell(kind: str, found: Mapping[str, Any] | None) -> Cell:
        if found is None or found["mean"] is None:
            return Cell("–")
        text = number(found["mean"]) if kind == kinds[0] else signed(found["mean"], 1)
        return Cell(text, f"sd {found['sd']:.1f}" if found["sd"] is not None else "")

    rows = [
        (names.order(e["order"]), [cell(kind, e["measures"].get(kind)) for kind in shown]) for e in study["retention"]
    ]
    records = [
        {"order": ",".join(e["order"]), "measure": kind} | (e["measures"].get(kind) or {})
        for e in study["retention"]
        for kind in kinds
    ]
    caption = f"What is kept of the steps, in points{over_seeds(study, ': mean and sd over seeds')}."
    head = ["order", *(kind.replace("_", " ") for kind in shown)]
    return Table("retention_measures", caption, head, [("", rows)], records).trimmed()


def trajectory(study: Mapping[str, Any], names: Names) -> Table:
    """Retrieval after every step by hidden state."""
    layers = range(max(len(found) for entry in study["trajectory"] for found in entry["layers"]))
    groups = [
        (
            names.order(entry["order"]),
            [
                (step, [Cell(number(found[layer]) if layer < len(found) else "–") for layer in layers])
                for step, found in zip(entry["checkpoints"], entry["layers"], strict=True)
            ],
        )
        for entry in study["trajectory"]
    ]
    records = [
        {"order": ",".join(entry["order"]), "checkpoint": step, "hidden_state": layer, "score": score}
        for entry in study["trajectory"]
        for step, found in zip(entry["checkpoints"], entry["layers"], strict=True)
        for layer, score in enumerate(found)
    ]
    caption = "Tatoeba accuracy after every step, by hidden state; 0 is what goes into the first layer."
    return Table("trajectory", caption, ["after", *map(str, layers)], groups, records)
