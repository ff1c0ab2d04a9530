"""Which sections the page has, and what each of them shows."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from stiltwalk.report.figure import Figure
from stiltwalk.report.figures.heat_maps import heat_map_figure
from stiltwalk.report.figures.order_tree import order_tree
from stiltwalk.report.figures.positions import position_figure
from stiltwalk.report.figures.trajectories import trajectory_figure
from stiltwalk.report.figures.variance import variance_figure
from stiltwalk.report.labels import OrderLabels
from stiltwalk.report.table import Table
from stiltwalk.report.tables import agreement, effects, items, languages, retention, scores, selection, variance
from stiltwalk.report.views import MIN_RANKED_ORDERS, Study, has_repeats, score_columns
from stiltwalk.report.wording import caption, introduction
from stiltwalk.utils.text import count

MAX_OPEN_LANGUAGE_TABLES = 4  # with more, only the first is open
MAX_OPEN_RETENTION_ROWS = 40


@dataclass(frozen=True)
class Fold:
    """Tables and figures that a reader opens on demand."""

    summary: str
    blocks: list["Block"]
    open: bool = False


Block: TypeAlias = Table | Figure | Fold


@dataclass(frozen=True)
class Section:
    """A section of the page."""

    id: str
    title: str
    intro: str = ""
    blocks: list[Block] = field(default_factory=list)
    """What the page shows."""
    files: list[Figure] = field(default_factory=list)
    """Figures for a paper that the page shows as tables."""


def make_sections(study: Study, labels: OrderLabels) -> list[Section]:
    """The sections after the summary, without empty ones. The summary says why something could not be estimated."""
    return [section for section in _all_sections(study, labels) if section.blocks or section.intro]


def _all_sections(study: Study, labels: OrderLabels) -> Iterator[Section]:
    yield score_section(study, labels)
    yield Section("tree", "Tree of orders", "", without_none(order_tree(study, labels)))
    if has_repeats(study):
        yield effect_section(study)
        yield variance_section(study, labels)
    if study.get("items") and (table := items.item_table(study, labels)):
        intro = introduction("items", left_out=study["items"]["left_out"])
        yield Section("items", "New test items", intro, [Fold("Gains with both intervals", [table])])
    yield language_section(study, labels)
    if study.get("retention"):
        yield retention_section(study, labels)
    if study.get("trajectory"):
        figure = trajectory_figure(study, labels)
        fold = Fold("Scores at every hidden state", [retention.trajectory_table(study, labels)]) if figure else None
        yield Section("trajectories", "Trajectories", "", without_none(figure, fold))
    if has_repeats(study):
        yield agreement_section(study)
    if len(study["design"]["orders"]) > 1:
        yield best_order_section(study, labels)
    if any(run["flags"] for run in study.get("runs") or []):
        yield Section("runs", "Runs with flags", "", [scores.flagged_runs_table(study, labels)])


def without_none(*blocks: Block | None) -> list[Block]:
    """The blocks that are not None."""
    return [block for block in blocks if block is not None]


def score_section(study: Study, labels: OrderLabels) -> Section:
    """Scores by order and target, missing scores and settings."""
    blocks: list[Block] = [scores.score_table(study, labels)]
    if n_missing := len(study["design"]["missing"]):
        blocks.append(Fold(count(n_missing, "missing score"), [scores.missing_scores_table(study, labels)]))
    if study.get("settings"):
        blocks.append(Fold("Settings of all experiments", [scores.settings_table(study)]))
    return Section("scores", "Scores", "", blocks)


def effect_section(study: Study) -> Section:
    """Effects of positions and carry-over."""
    figure, carry_over = position_figure(study), effects.carry_over_table(study)
    numbers = Fold("Table of position effects", [effects.position_table(study)]) if figure else None
    files = [heat_map_figure("carry_over", carry_over.caption, effects.carry_over_maps(study))] if carry_over else []
    entries = {column: study["positions"][column] for column in score_columns(study)}
    targets = [column for column, entry in entries.items() if effects.has_interval(entry)]
    intro = introduction(
        "effects",
        targets=targets,
        carry_over=[column for column in targets if entries[column]["model"]["carry_over"]],
        middle_alike=any(entries[column]["model"]["middle_alike"] for column in targets),
        missing_scores=bool(study["design"]["missing"]),
    )
    return Section("effects", "Position and carry-over", intro, without_none(figure, numbers, carry_over), files)


def variance_section(study: Study, labels: OrderLabels) -> Section:
    """Variance components: the figure with its table, or the table alone if there is only a test."""
    figure, table = variance_figure(study), variance.variance_table(study)
    tested = any(entry["p"] is not None for entry in study["variance"]["targets"].values())
    blocks: list[Block] = []
    if figure:
        blocks = [figure, Fold("Table of variance components", [table])]
    elif tested:
        blocks = [table]
    noisy = [
        {"target": entry.target, "order": labels.order(entry.order), "ratio": entry.ratio, "p": entry.p}
        for entry in variance.noisy_orders(study)
    ]
    return Section("variance", "Variance components", introduction("variance", noisy=noisy), blocks)


def language_section(study: Study, labels: OrderLabels) -> Section:
    """Scores by language, a table for each target."""
    by_target = study.get("languages") or {}
    targets = [target for target in study["design"]["targets"] if by_target.get(target)]
    tables = {target: languages.language_table(study, target, labels) for target in targets}
    blocks: list[Block] = list(tables.values())
    if len(targets) > MAX_OPEN_LANGUAGE_TABLES:
        blocks = [
            Fold(f"{target}: {count(len(table.header) - 1, 'language')}", [table], open=target == targets[0])
            for target, table in tables.items()
        ]
    files = [
        heat_map_figure(table.name, table.caption, [languages.language_map(study, target, labels)])
        for target, table in tables.items()
        if table.colour_limit
    ]
    return Section("languages", "Languages", "", blocks, files)


def retention_section(study: Study, labels: OrderLabels) -> Section:
    """Measures of retention, and the scores behind them."""
    table = retention.retention_table(study, labels)
    fold = Fold("Scores of every task after every step", [table], open=table.n_rows <= MAX_OPEN_RETENTION_ROWS)
    files = [heat_map_figure("retention", table.caption, retention.retention_maps(study, labels))]
    return Section("retention", "Retention", "", [retention.retention_measures_table(study, labels), fold], files)


def agreement_section(study: Study) -> Section:
    """Agreement between rankings of the orders, and the effect of the last task's kind."""
    taus, concordance, recency = (
        agreement.tau_map(study),
        agreement.concordance_table(study),
        agreement.recency_table(study),
    )
    intro = introduction(
        "agreement",
        min_orders=MIN_RANKED_ORDERS,
        too_few_orders=study["agreement"]["targets"]["orders"] < MIN_RANKED_ORDERS,
        recency_unknown=bool(study["recency"]["targets"]) and not recency.n_rows,
    )
    blocks = without_none(agreement.tau_table(study), *(table for table in (concordance, recency) if table.n_rows))
    files = [heat_map_figure("tau", caption("tau_figure"), [taus], 1.0)] if taus else []
    return Section("agreement", "Agreement and recency", intro, blocks, files)


def best_order_section(study: Study, labels: OrderLabels) -> Section:
    """The order that validation selects, and the power of the experiments."""
    columns = score_columns(study)
    without = [column for column in columns if study["best"][column]["order"] is None]
    table = selection.best_order_table(study, labels) if len(without) < len(columns) else None
    noise_known = any(entry["noise_sd"] is not None for entry in study["detectable"].values())
    pairs = selection.pairs_table(study, labels)
    curve = any(study["detectable"][column]["curve"] for column in columns)
    return Section(
        "best",
        "Best order and power" if noise_known else "Best order",
        introduction("best_order", without_validation=without if table else []),
        without_none(
            table,
            Fold("Differences between orders", [pairs]) if pairs else None,
            selection.power_table(study) if noise_known else None,
            Fold("Seeds needed by difference", [selection.seeds_table(study)]) if curve else None,
        ),
    )
