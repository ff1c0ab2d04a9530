"""Variance components and the permutation test of the order."""

from collections import Counter
from math import factorial

from stiltwalk.analysis.permutation import ALPHA
from stiltwalk.report.formatting import format_p_cell, format_percent
from stiltwalk.report.table import Cell, Row, Table
from stiltwalk.report.views import Study, n_seeds, score_columns
from stiltwalk.report.wording import caption

COMPONENTS = ("order", "seed", "run")


def variance_table(study: Study) -> Table:
    """Shares of variance and p values by target."""
    rows: list[Row] = []
    records = []
    for column in score_columns(study):
        entry = study["variance"]["targets"][column]
        corrected = entry["p_family_wise"]
        significant = corrected is not None and corrected <= ALPHA
        cells = [
            *(Cell(format_percent(entry["shares_of_mean"].get(component))) for component in COMPONENTS),
            Cell(format_p_cell(entry["p"])),
            Cell(format_p_cell(corrected), mark="*" if significant else "", style="strong" if significant else ""),
        ]
        rows.append((column, cells))
        records.append(
            {"target": column, "p": entry["p"], "p_family_wise": corrected}
            | {f"share_of_mean_{component}": entry["shares_of_mean"].get(component) for component in COMPONENTS}
            | {f"share_{component}": share for component, share in entry["shares"].items()}
            | {f"component_{component}": variance for component, variance in entry["components"].items()}
        )
    text = caption("variance_table", permutations=first_task_permutations(study))
    return Table("variance", text, ["target", "orders", "seeds", "runs", "p", "p, corrected"], [("", rows)], records)


def first_task_permutations(study: Study) -> int | None:
    """How many permutations can tell first tasks apart; None if no two orders share their first step.

    The smallest p value of a difference that lies only between first tasks is 1 over this number.
    """
    first_tasks = Counter(steps[0] for steps in study["design"]["orders"])
    if max(first_tasks.values()) < 2:
        return None
    return factorial(len(first_tasks)) ** (n_seeds(study) - 1)
