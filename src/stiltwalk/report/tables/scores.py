"""Scores of orders and controls, and what to know about the runs behind them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stiltwalk.report.formatting import MISSING, format_half_width, format_number
from stiltwalk.report.labels import OrderLabels
from stiltwalk.report.table import Cell, Row, Table, text_cell
from stiltwalk.report.views import MEAN_OF_TARGETS, Study, n_seeds, order_key, ranked_orders, score_columns
from stiltwalk.report.wording import caption
from stiltwalk.utils.text import join_words

BEST, MAY_BE_BEST, ABOVE = "★", "○", "▲"
SETTING_LABELS = {
    "rows a step": "training rows per step",
    "rows a target": "training rows per target",
    "test rows a language": "test rows per language",
    "passes of a step": "epochs per step",
    "examples a batch": "batch size",
    "peak learning rate of a step": "peak learning rate of steps",
}


def score_table(study: Study, labels: OrderLabels) -> Table:
    """Mean and interval of every order and control by target, with marks for the best orders of each target."""
    columns, entries, design_targets = score_columns(study), ranked_orders(study), study["design"]["targets"]
    orders = [entry for entry in entries if not entry["control"]]
    controls = [entry for entry in entries if entry["control"]]

    def rows(group: Sequence[Mapping[str, Any]]) -> list[Row]:
        return [
            (
                labels.order(entry["steps"]),
                [score_cell(entry["scores"][c], mark(entry, c, study), n_seeds(study)) for c in columns],
            )
            for entry in group
        ]

    groups = [(title, rows(group)) for title, group in (("Orders", orders), ("Controls", controls)) if group]
    records = [
        {"order": order_key(entry["steps"]), "control": entry["control"], "target": target} | entry["scores"][target]
        for entry in study["orders"]
        for target in [MEAN_OF_TARGETS, *design_targets]
    ]
    leaks = {target: join_words(tasks) for target, tasks in (study.get("leaks") or {}).items()}
    cautions: Mapping[str, str] = study.get("cautions") or {}
    for record in records:
        names = design_targets if record["target"] == MEAN_OF_TARGETS else [record["target"]]
        record["caution"] = "; ".join(f"{name}: {cautions[name]}" for name in names if name in cautions)
    text = caption(
        "score_table",
        n_seeds=n_seeds(study),
        shows_mean=MEAN_OF_TARGETS in columns,
        marks={cell.mark for _, group in groups for _, cells in group for cell in cells},
        leaks=group_leaks((target, leaks[target]) for target in columns if target in leaks),
        cautions="; ".join(f"{target}: {cautions[target]}" for target in columns if target in cautions),
    )
    footnotes = {target: f"leak: {tasks}" for target, tasks in leaks.items()}
    return Table("orders", text, ["order", *columns], groups, records, footnotes=footnotes)


def score_cell(score: Mapping[str, Any], mark: str, seeds: int) -> Cell:
    """The cell of one score; n is given if the order lacks some of the seeds."""
    if score["mean"] is None:
        return Cell(MISSING)
    n = f"n = {score['n']}" if score["n"] < seeds else ""
    small = " ".join(filter(None, [format_half_width(score), n]))
    return Cell(format_number(score["mean"]), small, mark, "best" if mark == BEST else "")


def mark(entry: Mapping[str, Any], column: str, study: Study) -> str:
    """The mark of a score. A score that equals the best only after rounding is not the best."""
    scores = [order["scores"][column]["mean"] for order in study["orders"] if not order["control"]]
    known = [score for score in scores if score is not None]
    mean = entry["scores"][column]["mean"]
    if len(scores) < 2 or not known or mean is None:
        return ""
    if entry["control"]:
        return ABOVE if mean > max(known) else ""
    if mean >= max(known):
        return BEST
    return MAY_BE_BEST if entry["steps"] in study["comparisons"][column]["may_be_best"] else ""


def group_leaks(leaks: Iterable[tuple[str, str]]) -> str:
    """Join targets with the same leaking tasks: `xnli: mnli; xquad, mlqa: squad`."""
    targets_by_tasks: dict[str, list[str]] = {}
    for target, tasks in leaks:
        targets_by_tasks.setdefault(tasks, []).append(target)
    return "; ".join(f"{', '.join(targets)}: {tasks}" for tasks, targets in targets_by_tasks.items())


def missing_scores_table(study: Study, labels: OrderLabels) -> Table:
    """The missing scores, one row for each order and seed."""
    missing: dict[tuple[str, int], list[str]] = {}
    for cell in study["design"]["missing"]:
        missing.setdefault((labels.order(cell["order"]), cell["seed"]), []).append(cell["target"])
    all_targets = study["design"]["targets"]
    rows: list[Row] = []
    for (order, seed), targets in missing.items():
        names = "every target"
        if len(targets) < len(all_targets):
            names = ", ".join(sorted(targets, key=all_targets.index))
        rows.append((order, [Cell(str(seed)), text_cell(names)]))
    records = [{**cell, "order": order_key(cell["order"])} for cell in study["design"]["missing"]]
    return Table("missing", caption("missing_scores"), ["order", "seed", "targets"], [("", rows)], records)


def settings_table(study: Study) -> Table:
    """The settings that all experiments share."""
    settings = {name: str(value) for name, value in study["settings"].items()}
    rows: list[Row] = [(SETTING_LABELS.get(name, name), [text_cell(value)]) for name, value in settings.items()]
    records = [{"setting": name, "value": value} for name, value in settings.items()]
    return Table("settings", caption("settings"), ["setting", "value"], [("", rows)], records)


def flagged_runs_table(study: Study, labels: OrderLabels) -> Table:
    """The runs that have a flag."""
    flagged = [run for run in study["runs"] if run["flags"]]
    rows: list[Row] = []
    records = []
    for run in flagged:
        flags = "; ".join(run["flags"])
        cells = [text_cell(labels.order(run["order"])), Cell(str(run["seed"])), text_cell(flags)]
        rows.append((str(run["name"]), cells))
        records.append({"name": run["name"], "order": order_key(run["order"]), "seed": run["seed"], "flags": flags})
    text = caption("flagged_runs", n_flagged=len(flagged), n_runs=len(study["runs"]))
    return Table("runs", text, ["run", "order", "seed", "flags"], [("", rows)], records)
