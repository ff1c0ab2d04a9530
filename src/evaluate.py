"""Score a folder of predictions in XTREME's submission layout, as XTREME's own evaluate.py does.

    python src/evaluate.py --labels DIR --predictions DIR [--languages]

Both folders hold `<task>/test-<language>.{tsv,json}`. The scores (0 to 100) of all tasks in both folders are printed to
stdout as JSON, with the averages of those groups that are complete. Warnings about anything left out go to stderr.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from stiltwalk.scoring.aggregate import TaskScores, describe_differences, group_scores, score_task
from stiltwalk.scoring.tasks import XTREME_TASKS
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.stage import run


def main(labels: Path, predictions: Path, with_languages: bool) -> None:
    for folder in (labels, predictions):
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder; it must hold one folder per task ({', '.join(XTREME_TASKS)})")
    scores: dict[str, TaskScores] = {}
    report: dict[str, Any] = {}
    for name in XTREME_TASKS:
        present = [folder for folder in (labels, predictions) if (folder / name).is_dir()]
        if len(present) == 1:
            warn(f"{name}: not scored, only {present[0]} has it")
        if len(present) == 2:
            scored = scores[name] = score_task(name, labels / name, predictions / name)
            report[name] = scored.averages | ({"languages": scored.languages} if with_languages else {})
            for warning in scored.warnings:
                warn(warning)
    for path in sorted(predictions.iterdir()):
        if path.is_dir() and path.name not in XTREME_TASKS:
            warn(f"{path}: not scored, there is no such task")
    if not scores:
        raise InputError(f"{labels} and {predictions} have no task in common; the tasks are {', '.join(XTREME_TASKS)}")
    for warning in describe_differences(scores):
        warn(warning)
    print(json.dumps(report | group_scores({name: scored.score for name, scored in scores.items()}), indent=1))


def warn(message: str) -> None:
    print(message, file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Score predictions in XTREME's submission layout.")
    parser.add_argument("--labels", type=Path, required=True, help="folder of <task>/test-<language>.{tsv,json}")
    parser.add_argument("--predictions", type=Path, required=True, help="folder in the same layout")
    parser.add_argument("--languages", action="store_true", help="add the scores of each language")
    options = parser.parse_args()
    run(main, options.labels, options.predictions, options.languages)
