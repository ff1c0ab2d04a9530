"""Score any folder of predictions in XTREME's submission layout, as XTREME's own evaluate.py does.

    python src/evaluate.py --labels DIR --predictions DIR [--languages]

Both folders hold `<task>/test-<language>.{tsv,json}`. The scores (0 to 100) of all tasks found in both go to stdout as
JSON, with group scores where a group is complete; what is not scored is said on stderr.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from stiltwalk.scoring.aggregate import group_scores, incomplete, score_task
from stiltwalk.scoring.tasks import TASKS
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.stage import run


def main(labels: Path, predictions: Path, with_languages: bool) -> None:
    for folder in (labels, predictions):
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder; it should hold a folder for each task ({', '.join(TASKS)})")
    scores, report = {}, dict[str, Any]()
    for name in TASKS:
        present = [folder for folder in (labels, predictions) if (folder / name).is_dir()]
        if len(present) == 1:
            print(f"{name}: not scored, it is in {present[0]} only", file=sys.stderr)
        if len(present) == 2:
            scored = score_task(name, labels / name, predictions / name)
            scores[name] = scored.score
            if line := incomplete(scored):
                print(line, file=sys.stderr)
            report[name] = scored.averages | ({"languages": scored.languages} if with_languages else {})
    for path in sorted(predictions.iterdir()):
        if path.is_dir() and path.name not in TASKS:
            print(f"{path}: not scored, there is no such task", file=sys.stderr)
    if not scores:
        raise InputError(f"{labels} and {predictions} have no task in common; the tasks are {', '.join(TASKS)}")
    print(json.dumps(report | group_scores(scores), indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Score predictions in XTREME's submission layout.")
    parser.add_argument("--labels", type=Path, required=True, help="folder of <task>/test-<language>.{tsv,json}")
    parser.add_argument("--predictions", type=Path, required=True, help="folder in the same layout")
    parser.add_argument("--languages", action="store_true", help="add the numbers of each language")
    options = parser.parse_args()
    run(main, options.labels, options.predictions, options.languages)
