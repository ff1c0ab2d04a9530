"""Every experiment as one line: its order and what came of it.

python src/compare.py

Experiments are listed apart where more than order and seed differs: those scores do not compare orders.
"""

from collections.abc import Iterable
from typing import Any

from dvc.api import exp_show

from common.stage import run
from summarize import COLUMNS

NOW = "workspace"
# What is the same wherever only the order or the seed differs.
SETTINGS = ("source", "world.", "encoder.", "sample.", "training.", "kinds.", "tasks.", "xtreme.", "targets")


def main() -> None:
    rows = [
        row for row in exp_show(num=-1) if row.get("order") is not None and (row["Experiment"] or row["rev"] == NOW)
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    settings = [name for name in names if name.startswith(SETTINGS) and not is_score(name)]
    for row in rows:
        groups.setdefault(tuple(row.get(name) for name in settings), []).append(row)
    differing = [i for i, values in enumerate(zip(*groups, strict=True)) if len(set(values)) > 1]
    for key, members in groups.items():
        if differing:
            print("\n" + ", ".join(f"{settings[i]}={key[i]}" for i in differing if key[i] is not None))
        print_table(members)
    print("\nEnglish / mean of the other languages")


def is_score(name: str) -> bool:
    """Whether a column of `exp_show` is a score of metrics/summary.json; the parameters have `tasks` too."""
    group, _, column = name.split(".") if name.count(".") == 2 else ("", "", "")
    return group == "tasks" and column in COLUMNS


def print_table(rows: Iterable[dict[str, Any]]) -> None:
    """One line a row: English and the mean of the other languages for every target."""
    rows = list(rows)
    targets = list(
        dict.fromkeys(
            name.split(".")[1] for row in rows for name, value in row.items() if is_score(name) and value is not None
        )
    )
    table = [["experiment", "order", "seed", *targets]]
    for row in rows:
        order = " -> ".join(part.strip(" '\"") for part in str(row["order"]).strip("[]").split(",")) or "none"
        scores = [[row.get(f"tasks.{target}.{column}") for column in ("english", "non_english")] for target in targets]
        cells = [" / ".join("-" if value is None else f"{value:.1f}" for value in pair) for pair in scores]
        table.append([row["Experiment"] or NOW, order, f"{row['seed']:.0f}", *cells])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


if __name__ == "__main__":
    run(main)
