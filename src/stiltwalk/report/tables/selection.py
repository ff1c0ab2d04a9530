"""The order that validation selects, its gains, and the differences that the experiments can detect."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stiltwalk.report.formatting import MISSING, excludes_zero, format_half_width, format_number, format_signed
from stiltwalk.report.labels import OrderLabels
from stiltwalk.report.table import Cell, Row, Table, estimate_cell, text_cell
from stiltwalk.report.views import MEAN_OF_TARGETS, Study, n_seeds, order_key, score_columns
from stiltwalk.report.wording import caption

MAX_PAIRS = 30  # of which all are shown
BEST_HEADER = [
    "target",
    "selected order",
    "test score",
    "held-out gain over baseline",
    "gain over baseline",
    "shrunken",
    "gain over single task",
    "single task",
    "gain over joint training",
    "held-out gain over single task",
    "best − worst order",
]


def best_order_table(study: Study, labels: OrderLabels) -> Table:
    """The order that validation selects for each target, and its gains over the controls."""
    selected = [column for column in score_columns(study) if study["best"][column]["order"] is not None]
    several_seeds = n_seeds(study) > 1
    rows: list[Row] = [(c, best_order_cells(study["best"][c], labels, several_seeds)) for c in selected]
    records = [{"target": c} | best_order_record(study["best"][c]) for c in selected]
    table = Table("best", "", BEST_HEADER, [("", rows)], records).without_empty_columns()
    text = caption(
        "best_order",
        n_seeds=n_seeds(study),
        shows_gains=any(name.startswith("gain") for name in table.header),
        shows_held_out=any(name.startswith("held-out") for name in table.header),
    )
    return replace(table, caption=text)


def best_order_cells(entry: Mapping[str, Any], labels: OrderLabels, several_seeds: bool) -> list[Cell]:
    """The cells of one target."""
    single, held_out, test_range = entry["single"], entry["held_out_seed"], entry["range"]
    by_chance = f"by chance {format_number(test_range['by_chance'], 2)}" if several_seeds else ""
    return [
        text_cell(labels.order(entry["order"])),
        Cell(format_number(entry["test"]["mean"]), format_half_width(entry["test"])),
        Cell(format_signed(held_out["gain_over_baseline"]["mean"])),
        estimate_cell(entry["gain_over_baseline"]),
        Cell(format_signed(entry["gain_over_baseline"]["shrunken"])),
        estimate_cell(entry["gain_over_single"]) if single else Cell(MISSING),
        text_cell(labels.order([single]) if single else MISSING),
        estimate_cell(entry["gain_over_joint"]),
        Cell(format_signed(held_out["gain_over_single"]["mean"])),
        Cell(format_number(test_range["difference"], 2), by_chance),
    ]


def best_order_record(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of one target, on one level."""
    record = {"order": order_key(entry["order"]), "single": entry["single"]}
    record |= {"chosen_on": ",".join(entry["chosen_on"]), "validation": entry["validation"]}
    for name in ("test", "gain_over_baseline", "gain_over_single", "gain_over_joint"):
        record |= {f"{name}_{key}": value for key, value in entry[name].items()}
    record |= {f"held_out_{name}": gain["mean"] for name, gain in entry["held_out_seed"].items()}
    return record | {"range": entry["range"]["difference"], "range_by_chance": entry["range"]["by_chance"]}


def pairs_table(study: Study, labels: OrderLabels) -> Table | None:
    """Differences between orders; None without any.

    Of many pairs only those that exclude zero for a target, or else the largest differences of the first column.
    """
    columns = score_columns(study)
    by_pair: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    records = []
    for column in columns:
        for pair in study["comparisons"][column]["pairs"]:
            one, other = pair["orders"]
            by_pair.setdefault((labels.order(one), labels.order(other)), {})[column] = pair
            interval = {key: pair[key] for key in ("mean", "low", "high")}
            records.append({"target": column, "one": order_key(one), "other": order_key(other)} | interval)
    if not by_pair:
        return None
    shown = list(by_pair)
    if len(shown) > MAX_PAIRS:
        first = {pair: abs(of.get(columns[0], {"mean": 0.0})["mean"]) for pair, of in by_pair.items()}
        significant = [pair for pair, of in by_pair.items() if any(map(excludes_zero, of.values()))]
        shown = significant or sorted(by_pair, key=lambda pair: -first[pair])[:MAX_PAIRS]
    rows: list[Row] = [
        (
            " − ".join(pair),
            [estimate_cell(by_pair[pair][column]) if column in by_pair[pair] else Cell(MISSING) for column in columns],
        )
        for pair in shown
    ]
    text = caption("pairs", n_pairs=len(by_pair), n_shown=len(rows))
    return Table("pairs", text, ["orders", *columns], [("", rows)], records)


def seeds_table(study: Study) -> Table:
    """How many seeds a comparison of two orders needs, by the difference that it has to detect."""
    columns = [column for column in score_columns(study) if study["detectable"][column]["curve"]]
    points = [point["difference"] for point in study["detectable"][columns[0]]["curve"]]
    rows: list[Row] = [
        (
            f"{format_number(difference)} points",
            [seeds_cell(study["detectable"][column]["curve"][number]) for column in columns],
        )
        for number, difference in enumerate(points)
    ]
    records = [{"target": column} | point for column in columns for point in study["detectable"][column]["curve"]]
    return Table("seeds", caption("seeds_needed"), ["difference", *columns], [("", rows)], records)


def power_table(study: Study) -> Table:
    """The noise of a run, and the differences between two orders that a test can detect."""
    entries = study["detectable"]
    rows: list[Row] = [
        (
            column,
            [
                Cell(format_number(entries[column]["noise_sd"], 2)),
                Cell(str(entries[column]["seeds"])),
                Cell(format_number(entries[column]["difference"], 2)),
                seeds_cell(entries[column]),
            ],
        )
        for column in score_columns(study)
    ]
    names = ("noise_sd", "seeds", "difference", "smallest", "seeds_needed", "seeds_low", "seeds_high")
    records = [
        {"target": target} | {name: entries[target][name] for name in names}
        for target in [MEAN_OF_TARGETS, *study["design"]["targets"]]
    ]
    header = ["target", "noise", "seeds", "detectable difference", "seeds needed"]
    return Table("detectable", caption("power", smallest=study["variance"]["smallest"]), header, [("", rows)], records)


def seeds_cell(entry: Mapping[str, Any]) -> Cell:
    """The number of seeds that a comparison needs, with its interval."""
    if entry["seeds_needed"] is None:
        return Cell(MISSING)
    return Cell(str(entry["seeds_needed"]), f"[{entry['seeds_low']}, {entry['seeds_high'] or 'more'}]")
