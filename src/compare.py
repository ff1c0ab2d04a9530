"""Every experiment as one line: its order and what came of it.

python src/compare.py

Experiments are listed apart where more than order and seed differs from the first one's: those scores do not compare
orders.
"""

import re
import signal
from collections.abc import Iterable
from typing import Any

from dvc.api import exp_show
from dvc.repo import Repo

from common.stage import run
from summarize import COLUMNS

NOW = "workspace"
TOLD = ("notes", "leaked_by")  # facts of a task that are told and change nothing
SHOWN = 5  # settings in which experiments differ, at most
# What is the same wherever only the order or the seed differs.
SETTINGS = ("source", "world.", "encoder.", "sample.", "training.", "kinds.", "tasks.", "xtreme.")


def main() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` may stop listening
    with Repo() as repo:
        commits = [str(commit) for commit in repo.experiments.ls(all_commits=True)]  # only those with experiments
    rows = [
        row
        for row in exp_show(revs=commits or None)
        if row.get("order") is not None and (row["Experiment"] or row["rev"] == NOW)
    ]
    groups: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    for row in rows:
        mine = settings(row)
        for known, members in groups:
            if all(known.get(name, value) == value for name, value in mine.items()):
                known |= mine
                members.append(row)
                break
        else:
            groups.append((mine, [row]))
    for known, members in groups:
        usual = groups[0][0]
        differing = [f"{name}={value}" for name, value in known.items() if usual.get(name, value) != value]
        if differing:
            more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
            print(f"\nwith {', '.join(differing[:SHOWN])}{more}")
        print_table(members)
    print("\nEnglish / mean of the other languages")


def settings(row: dict[str, Any]) -> dict[str, Any]:
    """What an experiment's scores depend on besides order and seed; not the tasks and targets that it lacks."""
    used = {name: set(re.findall(r"\w+", str(row.get(name)))) for name in ("order", "targets")}

    def counts(name: str) -> bool:
        group, _, rest = name.partition(".")
        of = {"tasks": "order", "xtreme": "targets"}.get(group)
        task, _, fact = rest.partition(".")
        return name.startswith(SETTINGS) and not is_score(name) and (not of or (task in used[of] and fact not in TOLD))

    return {name: value for name, value in row.items() if counts(name)}


def is_score(name: str) -> bool:
    """Whether a column of `exp_show` is a score of metrics/summary.json; the parameters have `tasks` too."""
    group, _, column = name.split(".") if name.count(".") == 2 else ("", "", "")
    return group == "tasks" and column in (*COLUMNS, "leak")


def print_table(rows: Iterable[dict[str, Any]]) -> None:
    """One line a row: English and the mean of the other languages for every target."""
    rows = list(rows)
    targets = list(
        dict.fromkeys(
            name.split(".")[1]
            for row in rows
            for name, value in row.items()
            if is_score(name) and isinstance(value, float)
        )
    )
    table = [["experiment", "order", "seed", *targets]]
    for row in rows:
        order = (
            " -> ".join(part.strip(" '\"") for part in str(row["order"]).strip("[]").replace("None", "null").split(","))
            or "none"
        )
        scores = [[row.get(f"tasks.{target}.{column}") for column in ("english", "non_english")] for target in targets]
        cells = [" / ".join(f"{value:.1f}" if isinstance(value, float) else "-" for value in pair) for pair in scores]
        table.append([row["Experiment"] or NOW, order, f"{row['seed']:.0f}", *cells])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


if __name__ == "__main__":
    run(main)
