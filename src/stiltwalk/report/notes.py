"""What to know of the data that experiments were run on, from what its stages wrote to data/sources."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def notes(sources: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines on each task's data, told once for all tasks of which they are the same: `names` and `lines`.

    sources: by task or target what the data stage wrote of it to data/sources.
    """
    told: dict[tuple[str, ...], list[str]] = {}
    for name, source in sources.items():
        told.setdefault(tuple(about(source)), []).append(name)
    return [{"names": names, "lines": [line.removeprefix("- ") for line in lines]} for lines, names in told.items()]


def about(source: dict[str, Any]) -> list[str]:
    """What is known of a task's data: where its rows are from, how many were left out or mended, what to know."""
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
    """Every place that rows were read from, however deep it stands."""
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
