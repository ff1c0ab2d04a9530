"""Score the prediction files of every target as XTREME does, and sum them up.

    python src/score.py

metrics/summary.json has task, group and overall scores, and what is kept of the chain's own tasks; `leak` names the
intermediate tasks that trained on a target's own training rows: that gain is not transfer. metrics/cells.json has all
that a comparison of orders reads. Both are in Git; metrics/scores and metrics/languages are DVC's.
"""

import json
from pathlib import Path
from typing import Any

from stiltwalk.scoring.aggregate import TaskScores, group_scores, incomplete, score_task
from stiltwalk.scoring.retention import retention_matrix, retention_measures
from stiltwalk.utils.stage import read_params, run_stage, whole_folder, write_csv, write_json

COLUMNS = ("score", "english", "non_english", "gap")


def main() -> None:
    order, leaks, probed = read_params("order", "leaks", "probed")
    scores = {target: score_task(target, Path("data/labels", target), Path("predictions", target)) for target in leaks}
    with whole_folder(Path("metrics/scores")) as reports, whole_folder(Path("metrics/languages")) as languages:
        for target, scored in scores.items():
            report = {"score": scored.score, **scored.transfer, "averages": scored.averages}
            write_json(report | {"languages": scored.languages}, reports / f"{target}.json")
            points = ([target, language, score] for language, score in scored.by_language.items())
            write_csv(["task", "language", "score"], points, languages / f"{target}.csv")
    facts = {target: json.loads(Path("metrics/targets", f"{target}.json").read_text("utf-8")) for target in leaks}
    cells = {
        target: {"validation": validation(facts[target].get(target)), "languages": scored.by_language}
        for target, scored in scores.items()
    }
    probes = Path(probed)
    steps = json.loads(probes.read_text(encoding="utf-8")) if probes.suffix == ".json" else {}
    write_json({"targets": cells, "steps": steps}, Path("metrics/cells.json"))

    tasks = {
        target: {column: value for column, value in columns(scored).items() if value is not None}
        | ({"leak": "+".join(leaks[target])} if leaks[target] else {})
        for target, scored in scores.items()
    }
    groups = group_scores({target: scored.score for target, scored in scores.items()})
    flags = {f"{key} {task}": why for key, step in steps.items() for task, why in step["flags"].items()}
    flags |= {target: why for target in leaks for why in facts[target].get("flags", {}).values()}
    retained = retention(steps)
    more = {name: found for name, found in (("retention", retained), ("flags", flags)) if found}
    write_json({**groups, "tasks": tasks, **more}, Path("metrics/summary.json"))
    print_summary(order, tasks, groups, flags)
    for line in filter(None, map(incomplete, scores.values())):
        print(line)


def columns(scored: TaskScores) -> dict[str, float | None]:
    return {"score": scored.score, **scored.transfer}


def validation(found: dict[str, float] | None) -> float | None:
    """The main score of a tuned target on its English validation rows; None where nothing is tuned."""
    return next(iter(found.values())) if found else None


def retention(steps: dict[str, Any]) -> dict[str, float]:
    """How well the tasks of the chain are kept, as far as one experiment tells (scoring/retention.py)."""
    keys, matrix = retention_matrix(steps)
    measures = retention_measures(matrix, [None] * len(keys)) if keys else {}
    return {name: value for name, value in measures.items() if value is not None}


def print_summary(
    order: list[str | None], tasks: dict[str, dict[str, Any]], groups: dict[str, float], flags: dict[str, str]
) -> None:
    print(f"order: {' -> '.join(step or 'null' for step in order) or 'none (the encoder as it was pretrained)'}")
    print(f"{'':12}" + "".join(f"{column.replace('_', '-'):>13}" for column in COLUMNS) + "  leak")
    for target, task in tasks.items():
        print(
            f"{target:12}"
            + "".join(f"{task[column]:13.2f}" if column in task else f"{'-':>13}" for column in COLUMNS)
            + f"  {task.get('leak', '')}".rstrip()
        )
    for name, value in groups.items():
        print(f"{name:12}{value:13.2f}")
    for where, why in flags.items():
        print(f"flag: {where} {why}")


if __name__ == "__main__":
    run_stage(main)
