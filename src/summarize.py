"""The summary of one order: task, group and overall scores as XTREME averages them.

`leak` names the intermediate tasks that trained on a target's own training rows: that gain is not transfer.

python src/summarize.py
"""

import json
from pathlib import Path

from common.stage import read_params, run, write_json
from scoring.aggregate import group_scores

COLUMNS = ("score", "english", "non_english", "gap")


def main() -> None:
    order, leaks = read_params("order", "leaks")
    scores = {target: json.loads(Path("metrics", f"{target}.json").read_text(encoding="utf-8")) for target in leaks}
    tasks = {
        target: {column: score[column] for column in COLUMNS if score[column] is not None}
        | ({"leak": "+".join(leaks[target])} if leaks[target] else {})
        for target, score in scores.items()
    }
    groups = group_scores({target: score["score"] for target, score in scores.items()})
    write_json({**groups, "tasks": tasks}, Path("metrics/summary.json"))

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


if __name__ == "__main__":
    run(main)
