"""Heat maps: matrices of numbers whose colour says how far from zero, as tables of the page and figures of a paper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from stiltwalk.report.booktabs import Cell, Row, Table
from stiltwalk.report.looks import STEPS, Names, beyond_zero, number, over_seeds, signed
from stiltwalk.report.tables import FEWEST, columns, ranked

Numbers = list[list[float | None]]


@dataclass(frozen=True)
class Heat:
    """A matrix: `values` are coloured, `texts` are shown; both rows x columns. No value, no colour."""

    title: str
    rows: list[str]
    columns: list[str]
    values: Numbers
    texts: list[list[str]]


def limit(heats: Sequence[Heat]) -> float:
    """The largest value either side of zero, where the colours end."""
    return max((abs(v) for heat in heats for row in heat.values for v in row if v is not None), default=0.0) or 1.0


def shade(value: float | None, end: float) -> str:
    """The name of a value's colour, `d5` for what is closest to zero; empty without a value."""
    return "" if value is None else f"d{round(STEPS + STEPS * max(-1.0, min(1.0, value / end)))}"


def cells(heat: Heat, end: float) -> list[Row]:
    return [
        (label, [Cell(text, style=shade(value, end)) for value, text in zip(values, texts, strict=True)])
        for label, values, texts in zip(heat.rows, heat.values, heat.texts, strict=True)
    ]


def grouped(name: str, caption: str, head: list[str], heats: Sequence[Heat], records: list[dict[str, Any]]) -> Table:
    """Heat maps as one table, a group each, coloured alike."""
    end = limit(heats)
    return Table(name, caption, head, [(heat.title, cells(heat, end)) for heat in heats], records, end, True)


def languages(study: Mapping[str, Any], target: str, names: Names) -> Heat:
    """A target's scores by order and language as differences; the first row is what they are differences to.

    That is the baseline, where it is there, or else the mean over the orders. Orders come before controls.
    """
    entries: Mapping[str, Mapping[str, float | None]] = study["languages"][target]
    known = list(dict.fromkeys(language for scores in entries.values() for language in scores))
    there = [(",".join(e["steps"]), e["control"]) for e in ranked(study) if ",".join(e["steps"]) in entries]
    proper = [key for key, control in there if not control]
    others = [key for key, control in there if control and key]
    if "" in entries:
        first, scores = names.order([]), [entries[""].get(language) for language in known]
    else:
        first = "mean over the orders"
        scores = [mean_of(entries[key].get(language) for key in proper) for language in known]
    keys = proper + others
    values: Numbers = [
        [less(entries[key].get(language), score) for language, score in zip(known, scores, strict=True)] for key in keys
    ]
    return Heat(
        target,
        [first, *(names.order(key.split(",")) for key in keys)],
        known,
        [[None] * len(known), *values],
        [[number(score) for score in scores], *([signed(value, 1) for value in row] for row in values)],
    )


def language_table(study: Mapping[str, Any], target: str, names: Names) -> Table:
    """The same as a table; the scores themselves where nothing is there to compare them with."""
    entries, name = study["languages"][target], f"languages-{target}"
    records = [
        {"order": key, "language": language, "score": score}
        for key, scores in entries.items()
        for language, score in scores.items()
    ]
    heat = languages(study, target, names)
    head = ["order", *heat.columns]
    if len(entries) == 1:
        key, scores = next(iter(entries.items()))
        row = names.order(key.split(",") if key else []), [Cell(number(scores[language])) for language in heat.columns]
        return Table(name, f"{target}: score by language", head, [("", [row])], records)
    proper = sum(not entry["control"] and ",".join(entry["steps"]) in entries for entry in study["orders"])
    end = limit([heat])
    first, *rest = cells(heat, end)
    groups = [("", [first]), ("Orders", rest[:proper]), ("Controls", rest[proper:])]
    caption = f"{target}: difference to the scores in the first row, points."
    return Table(name, caption, head, [(title, rows) for title, rows in groups if rows], records, end)


def carry_over(study: Mapping[str, Any]) -> list[Heat]:
    """By target, the effect of one task directly before another; starred where its interval does not hold zero.

    Only effects that have an interval.
    """
    tasks = study["design"]["tasks"]
    found = []
    for target in columns(study):
        effects = study["positions"][target]["carry_over"]
        known = {pair: effect["effect"] for pair, effect in effects.items() if effect["low"] is not None}
        values: Numbers = [[known.get(f"{one}>{other}") for other in tasks] for one in tasks]
        texts = [
            [
                ("" if one == other else signed(value)) + "*" * beyond_zero(effects.get(f"{one}>{other}", {}))
                for other, value in zip(tasks, row, strict=True)
            ]
            for one, row in zip(tasks, values, strict=True)
        ]
        if any(value is not None for row in values for value in row):
            found.append(
                Heat(target, [f"{task} →" for task in tasks], [f"→\u00a0{task}" for task in tasks], values, texts)
            )
    return found


def carry_over_table(study: Mapping[str, Any]) -> Table | None:
    heats = carry_over(study)
    if not heats:
        return None
    records = [
        {"target": target, "pair": pair} | effect
        for target in columns(study)
        for pair, effect in study["positions"][target]["carry_over"].items()
    ]
    caption = (
        "Effect of the task of the row directly before that of the column, points. * the 95 % interval does not hold "
        "zero; the intervals are in tables/carry_over.csv."
    )
    head = ["directly before", *(f"→\u00a0{task}" for task in study["design"]["tasks"])]
    return grouped("carry_over", caption, head, heats, records)


def retention(study: Mapping[str, Any], names: Names) -> list[Heat]:
    """By order, the validation score of each step's task after each step; coloured by the change since its own step."""
    found = []
    for entry in study["retention"]:
        steps = [names.step(step.partition("-")[2]) for step in entry["steps"]]
        scores = [[*row, *[None] * (len(steps) - len(row))] for row in entry["matrix"]]
        own = [scores[j][j] for j in range(len(steps))]
        values = [[less(v, own[j]) if j <= i else None for j, v in enumerate(row)] for i, row in enumerate(scores)]
        texts = [["" if j > i else number(v) for j, v in enumerate(row)] for i, row in enumerate(scores)]
        rows = [f"after {i} {step}" for i, step in enumerate(steps, start=1)]
        found.append(Heat(names.order(entry["order"]), rows, steps, values, texts))
    return found


def chains(study: Mapping[str, Any], names: Names) -> list[Heat]:
    """The same without orders of one step, where there are others."""
    found = retention(study, names)
    return [each for each in found if len(each.rows) > 1] or found


def retention_table(study: Mapping[str, Any], names: Names) -> Table:
    """The heat maps of all orders as one table; columns are steps, whose tasks the row labels name."""
    heats = chains(study, names)
    longest = max(len(heat.columns) for heat in heats)
    padded = [
        Heat(
            heat.title,
            heat.rows,
            heat.columns,
            [[*row, *[None] * (longest - len(row))] for row in heat.values],
            [[*row, *[""] * (longest - len(row))] for row in heat.texts],
        )
        for heat in heats
    ]
    records = [
        {"order": ",".join(entry["order"]), "after": entry["steps"][i], "step": entry["steps"][j], "score": score}
        for entry in study["retention"]
        for i, row in enumerate(entry["matrix"])
        for j, score in enumerate(row[: i + 1])
    ]
    caption = (
        f"Validation score of each step's task after every step{over_seeds(study)}; colour: change since its own step."
    )
    head = ["scores of", *(f"step {number}" for number in range(1, longest + 1))]
    return grouped("retention", caption, head, padded, records)


def agreement(study: Mapping[str, Any]) -> Heat | None:
    """Kendall's tau of every two targets' rankings of the orders. None where these are too few to tell."""
    taus = {frozenset(pair["targets"]): pair["tau"] for pair in study["agreement"]["pairs"]}
    targets = [target for target in study["design"]["targets"] if any(target in pair for pair in taus)]
    values: Numbers = [[taus.get(frozenset((one, other))) for other in targets] for one in targets]
    known = any(value is not None for row in values for value in row)
    if not known or study["agreement"]["targets"]["orders"] < FEWEST:
        return None
    texts = [
        [("" if a == b else signed(v)) for b, v in zip(targets, row, strict=True)]
        for a, row in zip(targets, values, strict=True)
    ]
    return Heat("Kendall's tau", targets, targets, values, texts)


def agreement_table(study: Mapping[str, Any]) -> Table | None:
    heat = agreement(study)
    if heat is None:
        return None
    pairs = {frozenset(pair["targets"]): pair for pair in study["agreement"]["pairs"]}
    records = [
        {"one": one, "other": other, "tau": pairs[frozenset((one, other))]["tau"]}
        for one, other in combinations(heat.columns, 2)
    ]
    caption = (
        f"Do two targets rank the {study['agreement']['targets']['orders']} orders alike? Kendall's tau: +1 alike, 0 "
        "unrelated, −1 the other way round."
    )
    return Table("tau", caption, ["", *heat.columns], [("", cells(heat, 1.0))], records, 1.0)


def less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def mean_of(values: Any) -> float | None:
    found = [value for value in values if value is not None]
    return sum(found) / len(found) if found else None
