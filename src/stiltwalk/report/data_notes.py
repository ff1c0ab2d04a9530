"""What a reader should know about the data, from the files that the data stages write to data/sources."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from stiltwalk.data.own.files import FOLDER

ROW_COUNTS = {"rows_read": "Rows read", "rows_used": "Rows used", "reanchored": "Answers re-anchored"}


def data_notes(sources: Mapping[str, dict[str, Any] | None]) -> list[dict[str, Any]]:
    """Return notes on the data as records with `names` and `lines`; tasks with the same notes share one record.

    sources: by task or target, the contents of its file in data/sources; None if it is not at hand.
    """
    names_by_notes: dict[tuple[str, ...], list[str]] = {}
    for name, source in sources.items():
        names_by_notes.setdefault(tuple(describe_source(source)), []).append(name)
    return [{"names": names, "lines": list(lines)} for lines, names in names_by_notes.items()]


def describe_source(source: dict[str, Any] | None) -> list[str]:
    """Describe one task's data: notes, origin, and how many rows were read, used and dropped."""
    if source is None:
        return ["DVC's cache lacks the file that says where these data come from; `dvc exp pull` fetches it."]
    parts = list(iterate_parts(source))
    repositories = dict.fromkeys(
        f"{part['path']} at {part['sha'][:12]} ({part.get('license') or 'licence unknown'})"
        for part in parts
        if part.get("sha")
    )
    lines = [*source.get("notes", []), *(f"Source: {name}" for name in repositories or [local_origin(source)])]
    for key, label in ROW_COUNTS.items():
        if total := sum(part.get(key, 0) for part in parts):
            lines.append(f"{label}: {total:,}")
    dropped: Counter[str] = Counter()
    for part in parts:
        dropped.update(part.get("dropped", {}))
    lines += [f"Rows dropped: {number:,} ({reason})" for reason, number in dropped.items() if number]
    read = [part for part in parts if "rows_read" in part]
    if changed := sum(part.get("rows_published") not in (None, part["rows_read"]) for part in read):
        lines.append(f"Parts whose row count differs from the published one: {changed} of {len(read)}")
    return lines


def iterate_parts(source: Any) -> Iterator[dict[str, Any]]:
    """Yield every record of rows read or used, however deeply it is nested."""
    for record in iterate_records(source):
        if "rows_read" in record or "rows_used" in record:
            yield {key: value for key, value in record.items() if key != "parts"}


def iterate_records(source: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping, from the outermost to the innermost."""
    if isinstance(source, dict):
        yield source
        source = list(source.values())
    if isinstance(source, list):
        for value in source:
            yield from iterate_records(value)


def local_origin(source: dict[str, Any]) -> str:
    """Where data come from that are not from a hub."""
    if any(str(record.get("path")).startswith(f"{FOLDER}/") for record in iterate_records(source)):
        return f"local files in {FOLDER}"
    return "the generated world; results on it do not generalise to human languages"
