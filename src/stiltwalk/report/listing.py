"""The list of experiments that `make show` prints: groups with the same settings, and what is not scored."""

from collections.abc import Mapping, Sequence
from typing import Any

from stiltwalk.analysis.settings import SettingsGroup, group_by_settings
from stiltwalk.sweep.experiments import WORKSPACE, Experiment, read_committed

MAX_DIFFERENCES = 5  # settings to name if groups differ
FLAGGED, INCOMPARABLE = "!", "~"
MARKS = {
    FLAGGED: "! a training learned nothing (of a step: at the order); see `flags` in metrics/summary.json",
    INCOMPARABLE: "~ does not compare with XTREME's score: see `caution` in metrics/summary.json",
}


def print_groups(groups: Sequence[SettingsGroup], largest: SettingsGroup) -> None:
    """Print a table for each group, the largest first; each other one is headed by the settings in which it differs."""
    marks: set[str] = set()
    for group in sorted(groups, key=lambda group: group is not largest):
        if group is not largest:
            print(f"\nothers, with {describe_differences(largest.differences(group))}:")
        elif len(groups) > 1:
            print("the most experiments with the same settings, which the report compares:")
        marks |= print_table(sorted(group.members, key=lambda one: (one.name != WORKSPACE, one.order, one.seed)))
    print("\nEnglish / mean of the other languages; - where there is none")
    for mark in sorted(marks):
        print(MARKS[mark])


def describe_differences(differences: Sequence[str]) -> str:
    """Name the first settings of a list, and how many more there are."""
    n_more = len(differences) - MAX_DIFFERENCES
    more = f" and {n_more} more" if n_more > 0 else ""
    return f"{', '.join(differences[:MAX_DIFFERENCES])}{more}"


def print_difference_from_head(workspace: Experiment | None) -> None:
    """Warn where `dvc metrics diff`, which compares with HEAD, would compare runs with other settings."""
    committed = read_committed()
    if workspace and committed:
        first, *others = group_by_settings([committed, workspace])
        if others:
            print(
                f"\n`dvc metrics diff` without names compares with HEAD's run, whose settings differ "
                f"({describe_differences(others[0].differences(first))}): name two experiments, as in "
                "`dvc metrics diff one other`"
            )


def print_others(others: Mapping[str, str]) -> None:
    """Print why experiments are not scored, by name."""
    for name, reason in others.items():
        print(f"not scored: {name}, because {reason}")


def print_table(experiments: Sequence[Experiment]) -> set[str]:
    """Print one line for each experiment, with the scores of all targets. Returns the marks that it uses."""
    targets = list(dict.fromkeys(target for one in experiments for target in one.summary["tasks"]))
    lines = [["experiment", "order", "seed", *targets]]
    for one in experiments:
        order_mark = FLAGGED if one.flags.keys() - set(targets) else ""
        cells = [format_scores(one.summary["tasks"].get(target, {}), target in one.flags) for target in targets]
        lines.append([one.name, (" -> ".join(one.order) or "none") + order_mark, str(one.seed), *cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return {mark for mark in MARKS if any(mark in cell for line in lines[1:] for cell in line[1:])}


def format_scores(score: Mapping[str, Any], flagged: bool) -> str:
    """Return the scores of a target in English and in the other languages, with its marks; empty if it was not run."""
    if not score:
        return ""
    values = [score.get(column) for column in ("english", "non_english")]
    marks = (FLAGGED if flagged else "") + (INCOMPARABLE if "caution" in score else "")
    return " / ".join("-" if value is None else f"{value:.1f}" for value in values) + marks
