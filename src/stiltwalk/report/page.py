"""The report on experiments: one page to read, and its figures and tables as files for a paper."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from markupsafe import Markup

from stiltwalk.report.figure import Figure
from stiltwalk.report.labels import OrderLabels
from stiltwalk.report.palette import COLOURS, DIFFERENCE_COLOURS, SHADES_PER_SIDE
from stiltwalk.report.sections import Block, Fold, Section, make_sections
from stiltwalk.report.summary import Summary, headline, paragraphs, summarise
from stiltwalk.report.table import Table
from stiltwalk.report.views import Study, n_seeds
from stiltwalk.report.wording import make_environment


def write_report(study: Study, folder: Path) -> Summary:
    """Write <folder>/index.html, figures/<name>.svg and .png, and tables/<name>.csv and .tex; return the summary.

    The page needs no other file and no network. The same study gives the same bytes. Whatever the folders figures and
    tables contained before is removed.

    study: see `stiltwalk.report.study.Study.page`; its background is optional, apart from the title.
    """
    probed = [entry["order"] for part in ("retention", "trajectory") for entry in study.get(part) or []]
    labels = OrderLabels([*(entry["steps"] for entry in study["orders"]), *probed])
    sections = make_sections(study, labels)
    for name in ("figures", "tables"):
        shutil.rmtree(folder / name, ignore_errors=True)
    drawings = write_files(sections, folder)
    summary = summarise(study, labels)
    page = (
        make_environment(html=True)
        .get_template("report.html.j2")
        .render(
            title=study["title"],
            headline=headline(summary),
            paragraphs=paragraphs(summary),
            facts=facts(study),
            sections=sections,
            notes=study.get("notes") or [],
            drawings=drawings,
            colours=COLOURS,
            shades=DIFFERENCE_COLOURS,
            middle_shade=SHADES_PER_SIDE,
            legend=labels.legend,
            block_kind=lambda block: type(block).__name__,
            n_seeds=n_seeds(study),
            section_ids=[section.id for section in sections],
        )
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(page, encoding="utf-8")
    return summary


def write_files(sections: Iterable[Section], folder: Path) -> dict[str, Markup]:
    """Write all tables and figures; return the SVG elements of the figures by name."""
    drawings: dict[str, Markup] = {}
    for section in sections:
        for block in (*flatten(section.blocks), *section.files):
            if isinstance(block, Table):
                block.write(folder / "tables")
            else:
                drawings[block.name] = Markup(block.write(folder / "figures"))
    return drawings


def flatten(blocks: Iterable[Block]) -> Iterator[Table | Figure]:
    """The tables and figures of a section, including folded ones."""
    for block in blocks:
        if isinstance(block, Fold):
            yield from flatten(block.blocks)
        else:
            yield block


def facts(study: Study) -> dict[str, str]:
    """The experiments in a few numbers."""
    design = study["design"]
    cells = design["cells"]
    return {
        "experiments": str(design["runs"]),
        "orders": str(len(design["orders"])),
        "controls": str(len(design["controls"])),
        "seeds": str(len(design["seeds"])),
        "targets": str(len(design["targets"])),
        "scores": f"{cells['present']} of {cells['expected']}",
    }
