"""What experiments say about orders, in sentences made from their numbers, and what they cannot say."""

from collections.abc import Mapping
from typing import Any

from stiltwalk.analysis.anova import LEVEL, too_few
from stiltwalk.report.looks import (
    Names,
    between,
    beyond_zero,
    count,
    half_width,
    listed,
    number,
    p_value,
    percent,
    signed,
)
from stiltwalk.report.tables import BEST, columns, ranked


def answer(study: Mapping[str, Any], names: Names) -> tuple[str, list[str]]:
    """The answer in one sentence, and the paragraphs that bear it out."""
    why = lacking(study)
    parts = [
        so_far(study),
        why[:1].upper() + why[1:],
        verdict_by_target(study),
        strength(study),
        best(study, names),
        power(study),
        holes(study),
    ]
    return headline(study), [part for part in parts if part]


def headline(study: Mapping[str, Any]) -> str:
    """One test answers, that over all targets: one that asked each target as well would err more often than it says.

    Where it cannot be made, the targets answer, corrected for their number.
    """
    whole, targets = columns(study)[0], study["design"]["targets"]
    p = study["variance"]["targets"][whole]["p"]
    over = f"over all {len(targets)} targets" if len(targets) > 1 else f"for {whole}"
    found = [name for name in targets if significant(study, name)]
    if (p is None and not found) or few(study):
        return "Whether order matters, these experiments cannot say yet."
    if p is None:
        return f"Order matters for {listed(found)}; {over} that is not tested: no seed has every target."
    if p <= LEVEL:
        return f"Order matters {over} (p\u00a0{p_value(p)})."
    return f"No effect of order is shown {over} (p\u00a0{p_value(p)})."


def significant(study: Mapping[str, Any], target: str) -> bool:
    p = study["variance"]["targets"][target]["p_family_wise"]
    return p is not None and p <= LEVEL


def so_far(study: Mapping[str, Any]) -> str:
    """That a sweep is under way, which runs seed by seed."""
    sweep = study.get("unfinished")
    if not sweep:
        return ""
    return (
        f"{sweep['finished']} of {sweep['of']} experiments of the last sweep have finished: what is to come may turn "
        "round whatever is said here."
    )


def few(study: Mapping[str, Any]) -> str:
    """Why no p could be small enough to show anything; empty where it could."""
    design = study["design"]
    return too_few([tuple(order) for order in design["orders"]], len(design["seeds"]))


def lacking(study: Mapping[str, Any]) -> str:
    """Why nothing can be tested, and what to run; empty where it can be."""
    design = study["design"]
    if study["variance"]["targets"][columns(study)[0]]["p"] is not None:
        return f"{told}." if (told := few(study)) else ""
    orders, seeds = len(design["orders"]), len(design["seeds"])
    reasons = []
    if orders < 2:
        reasons.append(
            f"there {be(orders)} {count(orders, 'order')} of all the tasks, and a comparison takes two or more"
        )
    if seeds < 2:
        reasons.append(
            f"there {be(seeds)} {count(seeds, 'seed')}, and without repeats the luck of a run cannot be told from the "
            "order: run the same orders with two more seeds or so"
        )
    return ("; ".join(reasons) or "too many scores are missing, or they do not differ") + "."


def be(value: int) -> str:
    return "is" if value == 1 else "are"


def verdict_by_target(study: Mapping[str, Any]) -> str:
    """Which targets show an effect once it is counted how many were looked at."""
    tests = {target: study["variance"]["targets"][target]["p_family_wise"] for target in study["design"]["targets"]}
    tested = {target: p for target, p in tests.items() if p is not None}
    if len(tested) < 2:
        return ""
    found = [f"{target} (p\u00a0{p_value(p)})" for target, p in sorted(tested.items(), key=lambda item: item[1])]
    clear = found[: sum(p <= LEVEL for p in tested.values())]
    corrected = f"corrected for looking at {len(tested)} targets"
    untested = (
        f" {listed([t for t in tests if t not in tested])} could not be tested." if len(tested) < len(tests) else ""
    )
    if not clear:
        return f"By target, {corrected}, order shows an effect in none; closest is {found[0]}.{untested}"
    rest = "every one of them" if len(clear) == len(tested) else listed(clear)
    others = "" if len(clear) == len(tested) else "; for the others that is not shown"
    return f"By target, {corrected}, order matters for {rest}{others}.{untested}"


def strength(study: Mapping[str, Any]) -> str:
    """How large the differences are: shares of variance, and their sd."""
    whole = columns(study)[0]
    entry = study["variance"]["targets"][whole]
    share, parts = entry["shares_of_mean"], entry["components"]
    if share.get("order") is None:
        return ""
    of = "the mean over the targets" if whole == "all" else f"the score of {whole}"
    text = (
        f"Of the variance of {of}, {percent(share['order'])} lies between orders, {percent(share['seed'])} between "
        f"seeds and {percent(share['run'])} between runs that neither explains"
    )
    spread = max(parts["order"], 0.0) ** 0.5
    text += f"; orders differ by a standard deviation of about {number(spread, 2)} points"
    if entry["p"] is not None and entry["p"] > LEVEL:
        text += (
            ", which the luck of runs alone may give: estimates below zero count as zero, so that shares lean upward"
        )
    return f"{text}."


def best(study: Mapping[str, Any], names: Names) -> str:
    """The order that validation chooses, and its gains."""
    entry = study["best"][columns(study)[0]]
    if len(study["design"]["orders"]) < 2:
        return ""
    if entry["order"] is None:
        return "No order is chosen: there are no validation scores to choose it by." if not entry["chosen_on"] else ""
    mean = f"{number(entry['test']['mean'])} {half_width(entry['test'])}".strip()
    text = f"The order that English validation chooses is {names.order(entry['order'])}"
    if entry["test"]["mean"] is not None:
        top = next(e for e in ranked(study) if not e["control"])
        highest = f" (the highest of an order, {BEST} below, is that of {names.order(top['steps'])})"
        beaten = entry["test"]["mean"] < top["scores"][columns(study)[0]]["mean"]
        text += f", with {mean} on the test" + (highest if beaten else ", the highest of an order")
    single = entry["single"]
    others = [("gain_over_baseline", "no intermediate training")]
    others += [("gain_over_single", f"the best single task ({names.order([single])})")] if single else []
    others += [("gain_over_joint", "all of them in one step")]
    gains = [
        gain(entry[key], over, len(study["design"]["seeds"])) for key, over in others if entry[key]["mean"] is not None
    ]
    text = f"{text}: {'; '.join(gains)}." if gains else f"{text}. No control was run to compare it with."
    held = entry["held_out_seed"]["gain_over_baseline"]
    if held["mean"] is not None:
        text += (
            f" Chosen on the other seeds each time, the gain over no intermediate training is {signed(held['mean'])}."
        )
    return text


def gain(found: Mapping[str, Any], over: str, seeds: int) -> str:
    text = f"{number(abs(found['mean']), 2)} points {'above' if found['mean'] >= 0 else 'below'} {over}"
    if found["low"] is None:
        return f"{text}, of {count(found['n'], 'seed')}: no interval" if seeds > 1 else text
    return f"{text}, {between(found)}" + ("" if beyond_zero(found) else ", which may be chance")


def power(study: Mapping[str, Any]) -> str:
    """What difference these experiments could have shown."""
    entry = study["detectable"][columns(study)[0]]
    if entry["difference"] is None:
        return ""
    return (
        f"With {count(entry['seeds'], 'seed')}, a paired t test of two orders shows a true difference of "
        f"{number(entry['difference'], 2)} points four times in five; smaller ones are likely to be missed. "
        f"Half a point would take {entry['seeds_for_half_a_point']} seeds."
    )


def holes(study: Mapping[str, Any]) -> str:
    """What is missing, left out or flagged."""
    cells, flagged = study["design"]["cells"], [run for run in study.get("runs") or [] if run["flags"]]
    parts = []
    if lost := cells["expected"] - cells["present"]:
        parts.append(
            f"{lost} of {cells['expected']} scores (one an order, seed and target) {be(lost)} missing: comparisons of "
            "orders are of the seeds that have a score of each, means in tables and figures of all that are there."
        )
    if others := study.get("left_out"):
        seeds = [str(seed) for seed in sorted({run["seed"] for run in others})]
        parts.append(
            f"{count(len(others), 'run')} with {'seed' if len(seeds) == 1 else 'seeds'} {listed(seeds)}, which few of "
            f"the orders have, {be(len(others))} left out."
        )
    if earlier := study.get("replaced"):
        names = [run["name"] for run in earlier]
        told = listed(names if len(names) <= 3 else [*names[:2], f"{len(names) - 2} more"])
        parts.append(f"Of runs of the same order and seed the last one counts; {told} {be(len(names))} left out.")
    if apart := study.get("apart"):
        parts.append(
            f"{count(apart, 'experiment')} with other settings {be(apart)} not looked at here; src/compare.py --name "
            "compares those of one sweep."
        )
    if versions := study.get("versions"):
        told = listed([f"{version['experiments']} of {version['commit'][:7]}" for version in versions])
        parts.append(
            f"The experiments are of {len(versions)} versions of the code that trains and scores ({told}): what "
            "changed between them counts as order or luck."
        )
    if len(study["design"]["seeds"]) == 2:
        parts.append("Two seeds give intervals too wide to be of use; three or more are better.")
    if flagged:
        parts.append(f"{count(len(flagged), 'run')} {'has' if len(flagged) == 1 else 'have'} a flag, see below.")
    return " ".join(parts)
