"""The scores of an experiment in two forms: a summary for `dvc metrics`, and cells for a comparison of orders.

The facts of a target are its record in metrics/targets/: validation scores and flags of its tuning, or the layer and
the thresholds of a search.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stiltwalk.scoring.aggregate import TaskScores, group_scores, incomplete_groups
from stiltwalk.scoring.probes import order_retention

Scores = Mapping[str, TaskScores]
Facts = Mapping[str, Mapping[str, Any]]
COLUMNS = ("score", "english", "non_english", "gap")


def make_cells(scores: Scores, facts: Facts, probes: Mapping[str, Any]) -> dict[str, Any]:
    """Return each target's validation score and its scores by language, and what was measured of each checkpoint."""
    targets = {
        target: {"validation": _validation_score(facts[target].get(target)), "languages": scored.by_language}
        for target, scored in scores.items()
    }
    return {"targets": targets, "steps": probes}


def make_summary(
    scores: Scores, facts: Facts, probes: Mapping[str, Any], leaks: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Return the averages over groups of tasks, and for each target its scores, leaks and cautions.

    Also the `retention` of the order's tasks, `incomplete` (averages that do not compare with XTREME's) and `flags`,
    each left out if it is empty.
    """
    tasks: dict[str, dict[str, Any]] = {}
    for target, scored in scores.items():
        tasks[target] = {column: value for column, value in scored.columns.items() if value is not None}
        if leaks[target]:
            tasks[target]["leak"] = "+".join(leaks[target])
        if cautions := list(_cautions(scored, facts[target])):
            tasks[target]["caution"] = "; ".join(cautions)
    flags = {f"{key} {task}": flag for key, probe in probes.items() for task, flag in probe["flags"].items()}
    flags |= {target: flag for target in scores for flag in facts[target].get("flags", {}).values()}
    incomplete = {group: ", ".join(names) for group, names in incomplete_groups(scores).items()}
    extra = {"incomplete": incomplete, "retention": order_retention(probes), "flags": flags}
    groups = group_scores({target: scored.score for target, scored in scores.items()})
    return groups | {"tasks": tasks} | {name: part for name, part in extra.items() if part}


def print_summary(order: Sequence[str], summary: Mapping[str, Any]) -> None:
    """Print the summary as a table, with one line for each average, caution and flag."""
    print(f"order: {' -> '.join(order) or 'none (the pretrained encoder)'}")
    print(f"{'':12}" + "".join(f"{column.replace('_', '-'):>13}" for column in COLUMNS) + "  leak")
    for target, task in summary["tasks"].items():
        cells = "".join(f"{task[column]:13.2f}" if column in task else f"{'-':>13}" for column in COLUMNS)
        print(f"{target:12}{cells}  {task.get('leak', '')}".rstrip())
    for name, value in summary.items():
        if isinstance(value, float):
            print(f"{name:12}{value:13.2f}")
    for target, task in summary["tasks"].items():
        if "caution" in task:
            print(f"caution: {target}: {task['caution']}")
    for group, names in summary.get("incomplete", {}).items():
        print(f"caution: {group}: the average does not compare with XTREME's, because of the languages of {names}")
    for place, flag in summary.get("flags", {}).items():
        print(f"flag: {place} {flag}")


def _cautions(scored: TaskScores, facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield why the scores of a target do not compare with XTREME's."""
    if difference := scored.difference_in_languages:
        yield difference
    if any(isinstance(value, Mapping) and value.get("threshold_from_test") for value in facts.values()):
        yield "the threshold is chosen on the pairs that are scored"


def _validation_score(scores: Mapping[str, float] | None) -> float | None:
    """Return the main score of a tuned target on its English validation rows; None where nothing is tuned."""
    return next(iter(scores.values())) if scores else None
