"""Score the prediction files of every target as XTREME does, and sum them up.

    python src/score.py

metrics/summary.json has task, group and overall scores, and how well the last encoder retains the order's tasks. `leak`
names the intermediate tasks that train on a target's own training rows: their gain is not transfer. metrics/cells.json
has everything that a comparison of orders reads. Git tracks both.

A directory is one dependency to DVC. Results that an earlier run left for other targets or steps are removed first, so
that every clone has the same directories, and so that predictions/ never mixes two orders.
"""

from stiltwalk.utils.process import prepare_stage

if __name__ == "__main__":
    prepare_stage()

import csv
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from stiltwalk.config.orders import checkpoint_keys
from stiltwalk.scoring.aggregate import TaskScores, describe_missing_languages, group_scores, score_task
from stiltwalk.scoring.retention import retention_matrix, retention_measures
from stiltwalk.scoring.tasks import XTREME_TASKS
from stiltwalk.utils.files import atomic_dir, read_json, write_csv, write_json
from stiltwalk.utils.params import read_params
from stiltwalk.utils.stage import run_stage

COLUMNS = ("score", "english", "non_english", "gap")
LABELS, PREDICTIONS, TARGETS, PROBES = map(Path, ("data/labels", "predictions", "metrics/targets", "metrics/probes"))


def main() -> None:
    order, leaks = read_params("order", "plan.leaks")
    order = [step or "null" for step in order]  # YAML reads the task `null` as its own null
    targets = list(leaks)
    remove_earlier_results(targets, checkpoint_keys(order))
    scores = {target: score_task(target, LABELS / target, PREDICTIONS / target) for target in targets}
    facts = {target: read_json(TARGETS / f"{target}.json") for target in targets}
    steps = read_probes(checkpoint_keys(order))
    write_reports(scores)
    cells = {
        target: {"validation": main_validation_score(facts[target].get(target)), "languages": scored.by_language}
        for target, scored in scores.items()
    }
    write_json({"targets": cells, "steps": steps}, Path("metrics/cells.json"))

    tasks = {
        target: {column: value for column, value in score_columns(scored).items() if value is not None}
        | ({"leak": "+".join(leaks[target])} if leaks[target] else {})
        for target, scored in scores.items()
    }
    groups = group_scores({target: scored.score for target, scored in scores.items()})
    flags = {f"{key} {task}": flag for key, step in steps.items() for task, flag in step["flags"].items()}
    flags |= {target: flag for target in targets for flag in facts[target].get("flags", {}).values()}
    extra = {"retention": order_retention(steps), "flags": flags}
    write_json(
        {**groups, "tasks": tasks, **{name: part for name, part in extra.items() if part}}, Path("metrics/summary.json")
    )
    print_summary(order, tasks, groups, flags)
    warnings = [warning for scored in scores.values() for warning in scored.warnings]
    for warning in (*warnings, *describe_missing_languages(scores)):
        print(warning)


def remove_earlier_results(targets: Collection[str], checkpoints: Collection[str]) -> None:
    """Remove labels, predictions and probes of other targets and steps; DVC's cache keeps them."""
    for target in XTREME_TASKS.keys() - set(targets):
        shutil.rmtree(LABELS / target, ignore_errors=True)
        shutil.rmtree(PREDICTIONS / target, ignore_errors=True)
        (TARGETS / f"{target}.json").unlink(missing_ok=True)
    for path in PROBES.glob("*/*"):
        is_stale = path.parent.name == "trajectory" and "tatoeba" not in targets  # trajectories need Tatoeba
        if is_stale or path.stem not in checkpoints:
            path.unlink()


def read_probes(checkpoints: Iterable[str]) -> dict[str, Any]:
    """Return, by checkpoint, what the stages `retention` and `trajectory` measured."""
    probes: dict[str, Any] = {}
    for key in checkpoints:
        retention, trajectory = PROBES / "retention" / f"{key}.json", PROBES / "trajectory" / f"{key}.csv"
        if retention.is_file() or trajectory.is_file():
            kept = read_json(retention) if retention.is_file() else {"retention": {}, "flags": {}}
            retrieval = read_trajectory(trajectory) if trajectory.is_file() else []
            probes[key] = {"retention": kept["retention"], "retrieval": retrieval, "flags": kept["flags"]}
    return probes


def read_trajectory(path: Path) -> list[float]:
    """Return the scores by hidden state that the stage `trajectory` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        return [float(row["score"]) for row in csv.DictReader(file)]


def write_reports(scores: dict[str, TaskScores]) -> None:
    """Write every number of every target, and each target's scores by language for DVC's plots."""
    with atomic_dir(Path("metrics/scores")) as reports, atomic_dir(Path("metrics/languages")) as languages:
        for target, scored in scores.items():
            report = {"score": scored.score, **scored.transfer, "averages": scored.averages}
            write_json(report | {"languages": scored.languages}, reports / f"{target}.json")
            points = ([target, language, score] for language, score in scored.by_language.items())
            write_csv(["task", "language", "score"], points, languages / f"{target}.csv")


def score_columns(scored: TaskScores) -> dict[str, float | None]:
    return {"score": scored.score, **scored.transfer}


def main_validation_score(scores: dict[str, float] | None) -> float | None:
    """Return the first score of a tuned target on its English validation rows; None where nothing is tuned."""
    return next(iter(scores.values())) if scores else None


def order_retention(steps: dict[str, Any]) -> dict[str, float]:
    """Return how well the last encoder retains the order's tasks, as far as one experiment shows."""
    keys, matrix = retention_matrix(steps)
    measures = retention_measures(matrix, [None] * len(keys)) if keys else {}
    return {name: value for name, value in measures.items() if value is not None}


def print_summary(
    order: list[str], tasks: dict[str, dict[str, Any]], groups: dict[str, float], flags: dict[str, str]
) -> None:
    print(f"order: {' -> '.join(order) or 'none (the pretrained encoder)'}")
    print(f"{'':12}" + "".join(f"{column.replace('_', '-'):>13}" for column in COLUMNS) + "  leak")
    for target, task in tasks.items():
        cells = "".join(f"{task[column]:13.2f}" if column in task else f"{'-':>13}" for column in COLUMNS)
        print(f"{target:12}{cells}  {task.get('leak', '')}".rstrip())
    for name, value in groups.items():
        print(f"{name:12}{value:13.2f}")
    for place, flag in flags.items():
        print(f"flag: {place} {flag}")


if __name__ == "__main__":
    run_stage(main)
