"""report.md: what the last run gave, language by language, and what to know of the data behind it.

python src/report.py
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.stage import read_params, run

REPORT = Path("report.md")


def main() -> None:
    order, benchmark, mixtures, chain = read_params("order", "benchmark", "mixtures", "chain")
    path = " → ".join(step or "null" for step in order) or "none (the encoder as it was pretrained)"
    scores = {target: read(Path("metrics/scores", f"{target}.json")) for target in benchmark}
    summary = read(Path("metrics/summary.json"))
    parts = [f"# Order: {path}", "", *overview(summary), "", "## By language", "", *by_language(scores), ""]
    if chain:
        parts += ["## Steps", "", *steps(list(chain)), ""]
    parts += ["## Data", ""]
    sources = [
        (task, Path("data/intermediate", mixture, task, "SOURCE.json"))
        for mixture, block in mixtures.items()
        for task in block["tasks"]
    ]
    sources += [(target, Path("data/xtreme", target, "SOURCE.json")) for target in benchmark]
    told: dict[tuple[str, ...], list[str]] = {}
    for task, file in sources:
        told.setdefault(tuple(about(file)), []).append(task)
    for lines, tasks in told.items():
        parts += [f"### {', '.join(dict.fromkeys(tasks))}", "", *lines, ""]
    REPORT.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
    print(f"{REPORT}: {path}, {len(scores)} targets")


def read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is not there; `dvc repro` makes it, `make fetch` gets it") from None


def overview(summary: dict[str, Any]) -> list[str]:
    """Every target and every complete group of XTREME's."""
    rows = [
        [target, *(number(task.get(key)) for key in ("score", "english", "non_english", "gap")), task.get("leak", "")]
        for target, task in summary["tasks"].items()
    ]
    rows += [[name, number(value), "", "", "", ""] for name, value in summary.items() if name != "tasks"]
    return table(["target", "score", "English", "other languages", "gap", "trained on the target's own data"], rows)


def by_language(scores: dict[str, Any]) -> list[str]:
    """A line a language, a column a target: the metric that its score averages."""
    columns = {}
    for target, score in scores.items():
        names = [name for name in ("exact_match", "f1", "accuracy") if f"avg_{name}" in score["averages"]]
        names = names[:2] if "exact_match" in names else names[:1]
        columns[target] = {
            language: sum(metrics[name] for name in names) / len(names)
            for language, metrics in score["languages"].items()
        }
    languages = sorted({language for column in columns.values() for language in column})
    rows = [[language, *(number(column.get(language)) for column in columns.values())] for language in languages]
    return table(["", *columns], rows)


def steps(chain: list[str]) -> list[str]:
    """What each step reached on the validation rows of its tasks."""
    rows = []
    for step in chain:
        for task, found in read(Path("metrics/steps", f"{step}.json")).items():
            if isinstance(found, dict):
                rows.append([step, task, ", ".join(f"{name} {value}" for name, value in found.items())])
    return table(["step", "task", "validation"], rows)


def about(path: Path) -> list[str]:
    """What a task's SOURCE.json says: where its rows are from, how many were left out or mended, what to know."""
    source = read(path)
    places = list(origins(source))
    lines = [f"- {note}" for note in source.get("notes", [])]
    named = dict.fromkeys(
        f"{place['path']} at {place['sha'][:12]} ({place.get('license') or 'licence unknown'})"
        for place in places
        if place.get("sha")
    )
    lines += [f"- from {name}" for name in named] or [f"- {origin_of(source)}"]
    for key in ("rows_read", "rows_used", "reanchored"):
        if total := sum(place.get(key, 0) for place in places):
            lines.append(f"- {key.replace('_', ' ')}: {total:,}")
    dropped: dict[str, int] = {}
    for place in places:
        for reason, count in place.get("dropped", {}).items():
            dropped[reason] = dropped.get(reason, 0) + count
    lines += [f"- unfit, never used: {count:,} {reason}" for reason, count in dropped.items() if count]
    read_from = [place for place in places if "rows_read" in place]
    other = [place for place in read_from if place.get("rows_published") not in (None, place.get("rows_read"))]
    if other:
        lines.append(f"- {len(other)} of {len(read_from)} parts have another number of rows than was published")
    return lines


def origins(source: Any) -> Iterator[dict[str, Any]]:
    """Every place that rows were read from, however deep it stands in a SOURCE.json."""
    if isinstance(source, dict):
        if "rows_read" in source or "rows_used" in source:
            yield {key: value for key, value in source.items() if key != "parts"}
        for value in source.values():
            yield from origins(value)
    elif isinstance(source, list):
        for value in source:
            yield from origins(value)


def origin_of(source: dict[str, Any]) -> str:
    return "files of one's own" if "data/own" in json.dumps(source) else "the generated world"


def number(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, int | float) else "-"


def table(names: list[str], rows: list[list[str]]) -> list[str]:
    """A table in Markdown; every column but the first is right-aligned."""
    line = "|" + "|".join(["---", *["---:"] * (len(names) - 1)]) + "|"
    return [f"| {' | '.join(row)} |" for row in [names]] + [line] + [f"| {' | '.join(row)} |" for row in rows]


if __name__ == "__main__":
    run(main)
