"""The report on experiments: one page to read, its figures and tables as files for a paper."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stiltwalk.report import figures, heat, tables, treeplot, words
from stiltwalk.report.booktabs import Table
from stiltwalk.report.drawing import Figure
from stiltwalk.report.looks import COLOURS, STEPS, Names, beyond_zero, count, listed, signed

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
    trajectory, notes, leaks (by target the tasks that hold its training rows), and runs where there are flags.
    design.targets gives the order of targets. The page needs no other file and no network. The same study gives the
    same bytes. What lies in the two folders before is removed.
    """
    names = Names(
        [
            *(entry["steps"] for entry in study["orders"]),
            *(entry["order"] for part in ("retention", "trajectory") for entry in study.get(part) or []),
        ]
    )
    shown = [section for section in sections(study, names) if section.blocks or section.intro]
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
        seeds=len(study["design"]["seeds"]),
        ids=[section.id for section in shown],
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
    """The experiments in a few numbers."""
    design = study["design"]
    cells = design["cells"]
    return {
        "experiments": str(study["experiments"]),
        "orders": str(len(design["orders"])),
        "controls": str(len(design["controls"])),
        "seeds": str(len(design["seeds"])),
        "targets": str(len(design["targets"])),
        "scores": f"{cells['present']} of {cells['expected']}",
    }


def sections(study: Mapping[str, Any], names: Names) -> Iterator[Section]:
    """The sections after the answer, those without anything to show among them: why not, the answer says once."""
    yield scores(study, names)
    tree = treeplot.trie(study, names)
    yield Section("tree", "Tree of orders", "", there(tree))
    several = len(study["design"]["orders"]) > 1
    repeated = several and len(study["design"]["seeds"]) > 1  # else the luck of each run looks like its order
    if repeated:
        yield effects(study)
        yield variance(study)
    yield languages(study, names)
    if study.get("retention"):
        yield retention(study, names)
    if study.get("trajectory"):
        drawn = figures.trajectories(study, names)
        table = drawn and Fold("Every hidden state", [tables.trajectory(study, names)])
        yield Section("trajectories", "Trajectories", "", there(drawn, table))
    if repeated:
        yield agreement(study)
    if several:
        yield chosen(study, names)
    yield runs(study, names)


def there(*blocks: Any) -> list[Any]:
    return [block for block in blocks if block]


def scores(study: Mapping[str, Any], names: Names) -> Section:
    blocks: list[Any] = [tables.orders(study, names)]
    if lost := len(study["design"]["missing"]):
        blocks.append(Fold(count(lost, "missing score"), [tables.missing(study, names)]))
    if study.get("settings"):
        blocks.append(Fold("Settings that all experiments share", [tables.settings(study)]))
    return Section("scores", "Scores", "", blocks)


def effects(study: Mapping[str, Any]) -> Section:
    forest, carry = figures.positions(study), heat.carry_over_table(study)
    blocks: list[Any] = there(forest, forest and Fold("The same as numbers", [tables.positions(study)]), carry)
    files = []
    if carry:
        files = [figures.heat_maps("carry_over", carry.caption, heat.carry_over(study))]
    without = [name for name, drawn in (("positions", forest), ("carry-over", carry)) if not drawn]
    of = "The scores that are not missing" if study["design"]["missing"] else "The orders"
    said = [f"{of} do not determine effects of {' and '.join(without)}."] if without else []
    if blocks:
        models = dict.fromkeys(study["positions"][target]["model"] for target in tables.columns(study))
        said = [f"Fits are {'; or '.join(models)}.", *said, chance(study)]
    return Section("effects", "Position and carry-over", " ".join(said), blocks, files)


def chance(study: Mapping[str, Any]) -> str:
    """How many of all intervals do not hold zero, beside what chance alone would leave."""
    found = [
        effect
        for target in tables.columns(study)
        for effects in (*study["positions"][target]["tasks"].values(), study["positions"][target]["carry_over"])
        for effect in effects.values()
        if effect["low"] is not None
    ]
    clear = sum(map(beyond_zero, found))
    return (
        f"Of {len(found)} intervals {clear} do not hold zero; where order does nothing, about {len(found) / 20:.0f} "
        "would not, by chance. They depend on one another: the count is no test."
    )


def variance(study: Mapping[str, Any]) -> Section:
    drawn, table = figures.variance(study), tables.variance(study)
    tested = any(entry["p"] is not None for entry in study["variance"]["targets"].values())
    blocks = there(drawn, Fold("The same as numbers", [table]) if drawn else tested and table)
    return Section("variance", "Order against luck", "", blocks)


def languages(study: Mapping[str, Any], names: Names) -> Section:
    scores = study.get("languages") or {}
    targets = [target for target in study["design"]["targets"] if scores.get(target)]
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
    taus, kendall, recency = heat.agreement(study), tables.agreement(study), tables.recency(study)
    ranks = there(heat.agreement_table(study), kendall if kendall.groups[0][1] else None)
    told, few = bool(recency.groups[0][1]), study["agreement"]["targets"]["orders"] < tables.FEWEST
    notes = [f"Kendall's W and tau take {tables.FEWEST} orders to tell agreement from chance."] if few else []
    if study["recency"]["targets"] and not told:
        notes.append("Whether the last task's kind matters cannot be told from these orders.")
    files = (
        [figures.heat_maps("tau", "Kendall's tau of two targets' rankings of the orders.", [taus], 1.0)] if taus else []
    )
    return Section("agreement", "Agreement and recency", " ".join(notes), there(*ranks, told and recency), files)


def chosen(study: Mapping[str, Any], names: Names) -> Section:
    without = [target for target in tables.columns(study) if study["best"][target]["order"] is None]
    best = tables.best(study, names) if len(without) < len(tables.columns(study)) else None
    intro = f"No order is chosen for {listed(without)}, without validation scores." if best and without else ""
    noise = any(entry["noise_sd"] is not None for entry in study["detectable"].values())
    title = "Best order and power" if noise else "Best order"
    return Section("best", title, intro, there(best, noise and tables.detectable(study)))


def runs(study: Mapping[str, Any], names: Names) -> Section:
    flagged = any(run["flags"] for run in study.get("runs") or [])
    return Section("runs", "Runs", "", [tables.runs(study, names)] if flagged else [])
