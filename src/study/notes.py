"""What to know of the data that experiments were run on, from the SOURCE.json beside the rows of every task."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from common.errors import InputError


def notes(sources: Iterable[tuple[str, Path]]) -> list[dict[str, Any]]:
    """The lines on each task's data, told once for all tasks of which they are the same: `names` and `lines`.

    `sources` are names of tasks with their SOURCE.json. Raises InputError where one of them is not there.
    """
    told: dict[tuple[str, ...], list[str]] = {}
    for name, path in sources:
        told.setdefault(tuple(about(path)), []).append(name)
    return [
        {"names": list(dict.fromkeys(names)), "lines": [line.removeprefix("- ") for line in lines]}
        for lines, names in told.items()
    ]


def read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is not there; `dvc repro` makes it, `make fetch` gets it") from None


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
    return (
        "files of one's own"
        if "data/own" in json.dumps(source)
        else "the generated world: nothing here holds for human languages"
    )
