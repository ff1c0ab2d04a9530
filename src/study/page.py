"""The report on a sweep: one page to read, its figures and tables as files for a paper."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from study import figures, heat, tables, treeplot, words
from study.booktabs import Table
from study.drawing import Figure
from study.looks import COLOURS, STEPS, Names, count, listed, signed

TEMPLATES = Path(__file__).parent / "templates"
FOLDED = 4  # tables beyond which a section shows only the first


@dataclass(frozen=True)
class Fold:
    """Tables and figures that are opened on demand."""

    summary: str
    blocks: list[Any]
    open: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page; `blocks` are shown, `files` only written for a paper."""

    id: str
    title: str
    intro: str = ""
    blocks: list[Any] = field(default_factory=list)
    files: list[Figure] = field(default_factory=list)


def write_report(study: Mapping[str, Any], out: Path) -> None:
    """Write out/index.html, out/figures/<name>.svg and .png, out/tables/<name>.csv and .tex.

    `study` is what `study.effects.order_effects` gives, with title, settings, experiments, languages, retention,
    trajectory and notes, and runs where there are flags. The page needs no other file and no network. The same study
    gives the same bytes. What lies in the two folders before is removed.
    """
    names = Names(
        [
            *(entry["steps"] for entry in study["orders"]),
            *(entry["order"] for part in ("retention", "trajectory") for entry in study.get(part) or []),
        ]
    )
    shown = [section for section in sections(study, names) if section.intro or section.blocks]
    for folder in ("figures", "tables"):
        shutil.rmtree(out / folder, ignore_errors=True)
    drawings: dict[str, Markup] = {}
    for block in every(shown):
        if isinstance(block, Table):
            block.write(out / "tables")
        else:
            label = escape(block.alt, quote=True)
            drawings[block.name] = Markup(block.write(out / "figures").replace("ALT", label, 1))
    said, paragraphs = words.answer(study, names)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    page = environment.get_template("report.html.j2").render(
        title=study["title"],
        said=said,
        paragraphs=paragraphs,
        facts=facts(study),
        sections=shown,
        notes=study.get("notes") or [],
        drawings=drawings,
        colours=COLOURS,
        shades=[f"d{i}" for i in range(2 * STEPS + 1)],
        key=names.key,
        kind=lambda block: type(block).__name__,
        signed=signed,
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "index.html").write_text(page, encoding="utf-8")


def every(shown: list[Section]) -> Iterator[Any]:
    """Every table and figure of the sections."""

    def inside(blocks: list[Any]) -> Iterator[Any]:
        for block in blocks:
            yield from inside(block.blocks) if isinstance(block, Fold) else [block]

    for section in shown:
        yield from inside(section.blocks)
        yield from section.files


def facts(study: Mapping[str, Any]) -> dict[str, str]:
    """The sweep in a few numbers."""
    design = study["design"]
    cells = design["cells"]
    return {
        "experiments": str(study["experiments"]),
        "orders": str(len(design["orders"])),
        "controls": str(len(design["controls"])),
        "seeds": str(len(design["seeds"])),
        "targets": str(len(design["targets"])),
        "cells": f"{cells['present']} of {cells['expected']}",
    }


def sections(study: Mapping[str, Any], names: Names) -> Iterator[Section]:
    """The sections after the answer, those without anything to show among them."""
    yield scores(study, names)
    tree = treeplot.trie(study, names)
    yield Section("tree", "Tree of orders", "", there(tree))
    if len(study["design"]["orders"]) > 1:
        yield effects(study)
        yield variance(study)
    yield languages(study, names)
    if study.get("retention"):
        yield retention(study, names)
    if study.get("trajectory"):
        drawn = figures.trajectories(study, names)
        table = drawn and Fold("Every hidden state", [tables.trajectory(study, names)])
        yield Section("trajectories", "Trajectories", "", there(drawn, table))
    if len(study["design"]["orders"]) > 1:
        yield agreement(study)
        yield chosen(study, names)
    yield runs(study, names)


def there(*blocks: Any) -> list[Any]:
    return [block for block in blocks if block]


def scores(study: Mapping[str, Any], names: Names) -> Section:
    blocks: list[Any] = [tables.orders(study, names)]
    if lost := len(study["design"]["missing"]):
        blocks.append(Fold(f"{count(lost, 'cell')} without a score", [tables.missing(study, names)]))
    if study.get("settings"):
        blocks.append(Fold("Settings that all experiments share", [tables.settings(study)]))
    return Section("scores", "Scores", "", blocks)


def effects(study: Mapping[str, Any]) -> Section:
    forest, carry = figures.positions(study), heat.carry_over_table(study)
    if not forest and not carry:
        return Section("effects", "Position and carry-over", f"Not estimable: {words.lacking(study)}.")
    blocks: list[Any] = there(forest, forest and Fold("The same as numbers", [tables.positions(study)]), carry)
    files = []
    if carry:
        files = [figures.heat_maps("carry_over", carry.caption, heat.carry_over(study))]
    without = "" if carry else " The orders do not determine carry-over."
    models = dict.fromkeys(study["positions"][target]["model"] for target in tables.columns(study))
    return Section("effects", "Position and carry-over", f"Fits are {'; or '.join(models)}.{without}", blocks, files)


def variance(study: Mapping[str, Any]) -> Section:
    drawn = figures.variance(study)
    known = drawn or any(entry["p"] is not None for entry in study["variance"]["targets"].values())
    if not known:
        return Section("variance", "Order against luck", f"Not estimable: {words.lacking(study)}.")
    table = tables.variance(study)
    return Section(
        "variance", "Order against luck", "", there(drawn, Fold("The same as numbers", [table]) if drawn else table)
    )


def languages(study: Mapping[str, Any], names: Names) -> Section:
    targets = [target for target, entries in (study.get("languages") or {}).items() if entries]
    found = {target: heat.language_table(study, target, names) for target in targets}
    blocks: list[Any] = list(found.values())
    if len(targets) > FOLDED:
        blocks = [
            Fold(f"{target}: {count(len(table.head) - 1, 'language')}", [table], open=target == targets[0])
            for target, table in found.items()
        ]
    drawn = {target: heat.languages(study, target, names) for target in targets if found[target].limit}
    files = [figures.heat_maps(f"languages-{target}", found[target].caption, [each]) for target, each in drawn.items()]
    return Section("languages", "Languages", "", blocks, files)


def retention(study: Mapping[str, Any], names: Names) -> Section:
    table = heat.retention_table(study, names)
    many = sum(len(rows) for _, rows in table.groups) > 40
    blocks = [tables.measures(study, names), Fold("Every step's task after every step", [table], open=not many)]
    files = [figures.heat_maps("retention", table.caption, heat.chains(study, names))]
    return Section("retention", "Retention", "", blocks, files)


def agreement(study: Mapping[str, Any]) -> Section:
    title = "Agreement and recency"
    taus, kendall = heat.agreement(study), tables.agreement(study)
    blocks = there(heat.agreement_table(study), kendall if kendall.groups[0][1] else None)
    if any(entry["difference"] is not None for entry in study["recency"]["targets"].values()):
        blocks.append(tables.recency(study))
    if not blocks:
        return Section("agreement", title, f"Not estimable: {words.lacking(study)}.")
    files = (
        [figures.heat_maps("tau", "Kendall's tau of two targets' rankings of the orders.", [taus], 1.0)] if taus else []
    )
    return Section("agreement", title, "", blocks, files)


def chosen(study: Mapping[str, Any], names: Names) -> Section:
    title = "Best order and power"
    blocks: list[Any] = []
    without = [target for target in tables.columns(study) if study["best"][target]["order"] is None]
    intro = f"Not estimable for {listed(without)}: no validation scores to choose by." if without else ""
    if len(without) < len(tables.columns(study)):
        blocks.append(tables.best(study, names))
    if any(entry["noise_sd"] is not None for entry in study["detectable"].values()):
        blocks.append(tables.detectable(study))
    else:
        intro = f"{intro} Detectable differences are not estimable: {words.lacking(study)}.".strip()
    return Section("best", title, intro, blocks)


def runs(study: Mapping[str, Any], names: Names) -> Section:
    if not study.get("runs"):
        return Section("runs", "Runs")
    table = tables.runs(study, names)
    flagged = len(table.groups[0][1])
    said = f"{flagged} of {count(len(study['runs']), 'run')} with a flag."
    return Section("runs", "Runs", said, [table] if flagged else [])
