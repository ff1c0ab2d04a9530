"""Stage score@<task>: labels and predictions of one task -> metrics/<task>.json and metrics/languages/<task>.csv.

Where there are predictions from every hidden state, their scores go to metrics/layers/<task>.csv.
"""

import argparse
import csv
from pathlib import Path
from typing import Any

from common.stage import run, write_json
from scoring.aggregate import score_task
from scoring.tasks import TASKS


def main(name: str) -> None:
    labels, predictions = Path("data/labels", name), Path("predictions", name)
    scored = score_task(name, labels, predictions)
    report = {
        "score": scored.score,
        **scored.transfer,
        "averages": scored.averages,
        "languages": scored.languages,
    }
    write_csv(
        Path("metrics/languages", f"{name}.csv"),
        ["task", "language", "score"],
        [[name, language, score] for language, score in scored.by_language.items()],
    )
    layers = sorted(int(folder.name) for folder in predictions.glob("layers/*"))
    if layers:
        sweep = [[name, layer, score_task(name, labels, predictions / "layers" / str(layer)).score] for layer in layers]
        write_csv(Path("metrics/layers", f"{name}.csv"), ["task", "layer", "score"], sweep)
    write_json(report, Path("metrics", f"{name}.json"))
    parts = [f"{key} {'-' if value is None else f'{value:.2f}'}" for key, value in scored.transfer.items()]
    print(f"{name}: score {scored.score:.2f}, {', '.join(parts)} ({len(scored.languages)} languages)")


def write_csv(path: Path, names: list[str], rows: list[list[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Score the predictions of one target task.")
    parser.add_argument("task", choices=TASKS)
    run(main, parser.parse_args().task)
