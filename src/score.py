"""Stage score@<task>: labels and predictions of one task -> metrics/<task>.json and metrics/languages/<task>.csv."""

import argparse
import csv
from pathlib import Path

from common.stage import run, write_json
from scoring.aggregate import score_task
from scoring.tasks import TASKS


def main(name: str) -> None:
    scored = score_task(name, Path("data/labels", name), Path("predictions", name))
    report = {
        "score": scored.score,
        **scored.transfer,
        "averages": scored.averages,
        "languages": scored.languages,
    }
    plot = Path("metrics/languages", f"{name}.csv")
    plot.parent.mkdir(parents=True, exist_ok=True)
    with plot.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["task", "language", "score"])
        writer.writerows([name, language, score] for language, score in scored.by_language.items())
    write_json(report, Path("metrics", f"{name}.json"))
    parts = [f"{key} {'-' if value is None else f'{value:.2f}'}" for key, value in scored.transfer.items()]
    print(f"{name}: score {scored.score:.2f}, {', '.join(parts)} ({len(scored.languages)} languages)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Score the predictions of one target task.")
    parser.add_argument("task", choices=TASKS)
    run(main, parser.parse_args().task)
