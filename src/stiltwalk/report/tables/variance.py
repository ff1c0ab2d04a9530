"""Variance components, and the test of the order with its verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass

from stiltwalk.analysis.options import ALPHA
from stiltwalk.analysis.order_test import holm
from stiltwalk.report.formatting import MISSING, format_number, format_p_cell, format_percent
from stiltwalk.report.table import Cell, Row, Table, text_cell
from stiltwalk.report.views import Study, score_columns
from stiltwalk.report.wording import caption

COMPONENTS = ("order", "seed", "run")


@dataclass(frozen=True)
class NoisyOrder:
    """An order that is significantly noisier than the others on a target."""

    target: str
    order: list[str]
    ratio: float
    """Of its standard deviation to that of the others."""
    p: float
    """Corrected for the number of targets (Holm)."""


def noisy_orders(study: Study) -> list[NoisyOrder]:
    """The targets on which one order is significantly noisier than the others."""
    noise = {column: study["variance"]["targets"][column]["noise"] for column in score_columns(study)}
    known = {column: entry for column, entry in noise.items() if None not in (entry["p"], entry["ratio"])}
    corrected = holm({column: entry["p"] for column, entry in known.items()})
    return [
        NoisyOrder(column, entry["order"], entry["ratio"], corrected[column])
        for column, entry in known.items()
        if corrected[column] <= ALPHA
    ]


def variance_table(study: Study) -> Table:
    """Shares of variance and p values by target."""
    rows: list[Row] = []
    records = []
    alpha = study["variance"]["alpha"]
    for column in score_columns(study):
        entry = study["variance"]["targets"][column]
        corrected = entry["p_family_wise"]
        significant = corrected is not None and alpha is not None and corrected <= alpha
        cells = [
            *(Cell(format_percent(entry["shares_of_mean"].get(component))) for component in COMPONENTS),
            order_sd_cell(entry["order_sd"]),
            Cell(format_p_cell(entry["p"])),
            Cell(format_p_cell(corrected), mark="*" if significant else "", style="strong" if significant else ""),
            text_cell(entry["verdict"]),
        ]
        rows.append((column, cells))
        records.append(
            {"target": column, "p": entry["p"], "p_family_wise": corrected, "verdict": entry["verdict"]}
            | {f"order_{name}" if name != "sd" else "order_sd": value for name, value in entry["order_sd"].items()}
            | {"noise_ratio": entry["noise"]["ratio"], "noise_p": entry["noise"]["p"]}
            | {f"share_of_mean_{component}": entry["shares_of_mean"].get(component) for component in COMPONENTS}
            | {f"share_{component}": share for component, share in entry["shares"].items()}
            | {f"component_{component}": variance for component, variance in entry["components"].items()}
        )
    together = study["variance"]["together"] if len(study["design"]["targets"]) > 1 else None
    text = caption("variance_table", smallest=study["variance"]["smallest"], alpha=alpha, together=together)
    header = ["target", "orders", "seeds", "runs", "sd of order effects", "p", "p, corrected", "verdict"]
    return Table("variance", text, header, [("", rows)], records)


def order_sd_cell(order_sd: Mapping[str, float | None]) -> Cell:
    """The standard deviation of order effects, with its interval."""
    if order_sd["sd"] is None:
        return Cell(MISSING)
    interval = f"[{format_number(order_sd['low'])}, {format_number(order_sd['high'])}]"
    return Cell(format_number(order_sd["sd"]), interval)
