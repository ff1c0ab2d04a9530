"""Whether targets and languages rank the orders alike, and whether the kind of the last task explains the ranking."""

from itertools import combinations

from stiltwalk.report.formatting import format_number, format_p_cell, format_percent, format_signed
from stiltwalk.report.heatmap import HeatMap, Matrix, heat_map_rows
from stiltwalk.report.table import Cell, Row, Table, estimate_cell, text_cell
from stiltwalk.report.views import MIN_RANKED_ORDERS, Study
from stiltwalk.report.wording import caption
from stiltwalk.utils.text import join_words


def tau_map(study: Study) -> HeatMap | None:
    """Kendall's tau between every two targets' rankings of the orders; None if there are too few orders to tell."""
    taus = {frozenset(pair["targets"]): pair["tau"] for pair in study["agreement"]["pairs"]}
    targets = [target for target in study["design"]["targets"] if any(target in pair for pair in taus)]
    values: Matrix = [[taus.get(frozenset((row, column))) for column in targets] for row in targets]
    known = any(value is not None for row in values for value in row)
    if not known or study["agreement"]["targets"]["orders"] < MIN_RANKED_ORDERS:
        return None
    texts = [
        ["" if i == j else format_signed(value) for j, value in enumerate(values_of_row)]
        for i, values_of_row in enumerate(values)
    ]
    return HeatMap("Kendall's tau", targets, targets, values, texts)


def tau_table(study: Study) -> Table | None:
    """Kendall's tau as a table; None if there are too few orders to tell."""
    heat_map = tau_map(study)
    if heat_map is None:
        return None
    taus = {frozenset(pair["targets"]): pair["tau"] for pair in study["agreement"]["pairs"]}
    records = [
        {"one": one, "other": other, "tau": taus[frozenset((one, other))]}
        for one, other in combinations(heat_map.columns, 2)
    ]
    text = caption("tau_table", n_orders=study["agreement"]["targets"]["orders"])
    return Table("tau", text, ["", *heat_map.columns], [("", heat_map_rows(heat_map, 1.0))], records, 1.0)


def concordance_table(study: Study) -> Table:
    """Kendall's W of the targets, and of the languages of each target, where there are enough orders to tell."""
    by_target = study["agreement"]["languages"]
    entries = {"targets": study["agreement"]["targets"]}
    entries |= {f"languages of {target}": by_target[target] for target in study["design"]["targets"]}
    rows: list[Row] = [
        (raters, [Cell(format_number(entry["w"], 2)), Cell(str(entry["judges"])), Cell(str(entry["orders"]))])
        for raters, entry in entries.items()
        if entry["w"] is not None and entry["orders"] >= MIN_RANKED_ORDERS
    ]
    records = [{"judges": raters} | entry for raters, entry in entries.items()]
    header = ["raters", "W", "number of raters", "orders"]
    return Table("agreement", caption("concordance"), header, [("", rows)], records)


def recency_table(study: Study) -> Table:
    """The effect of ending with a task of the target's own kind, for targets whose orders differ in more than that."""
    by_target = study["recency"]["targets"]
    entries = {target: by_target[target] for target in study["design"]["targets"] if target in by_target}
    shown = {
        target: entry
        for target, entry in entries.items()
        if entry["difference"] is not None and (entry["share_by_chance"] or 0) < 1
    }
    rows: list[Row] = [
        (
            target,
            [
                text_cell(join_words(entry["own_kind"])),
                Cell(format_signed(entry["difference"])),
                Cell(format_percent(entry["share"])),
                Cell(format_percent(entry["share_by_chance"])),
                Cell(format_p_cell(entry["p_remaining"])),
            ],
        )
        for target, entry in shown.items()
    ]
    mean = study["recency"]["over_targets"]
    if mean["mean"] is not None and len(shown) == len(entries):
        rows.append(("mean of these targets", [Cell(""), estimate_cell(mean), *[Cell("")] * 3]))
    records = [{"target": t} | entry | {"own_kind": ",".join(entry["own_kind"])} for t, entry in entries.items()]
    interval = {key: mean[key] for key in ("n", "low", "high")}
    records.append({"target": "over_targets", "difference": mean["mean"]} | interval)
    header = ["target", "tasks of its kind", "difference", "share explained", "share by chance", "p of the rest"]
    return Table("recency", caption("recency"), header, [("", rows)], records)
