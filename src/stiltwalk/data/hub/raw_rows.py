"""Rows of one place on the hub, in the data set's own types."""

import functools
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import ClassLabel, LargeList, List

from stiltwalk.data.hub.fetch import Repository, download
from stiltwalk.data.hub.layout import column_features, split_files
from stiltwalk.utils.errors import InputError


@dataclass(frozen=True)
class RawRows:
    """Rows of a data set.

    table: the mapped columns, under the names that the kind of task gives them.
    class_names: for each of these columns, the names that the data set declares for its numbered labels, or None.
    split_size: rows of the whole split (that `where` selects), of which `table` may be a part.
    """

    table: pa.Table
    class_names: dict[str, list[str] | None]
    split_size: int


def fill_language(facts: dict[str, Any], language: str) -> tuple[str, dict[str, Any]]:
    """Return a place's config and its filter `where`, with the code of a language in place of `{language}`."""
    codes = facts.get("codes") or {language: language}

    def fill(template: Any) -> Any:
        if not isinstance(template, str) or "{language}" not in template:
            return template
        if language not in codes:
            raise InputError(f"codes has no language '{language}'; it has {', '.join(codes)}")
        return template.replace("{language}", codes[language])

    return fill(facts["name"]), {column: fill(value) for column, value in (facts.get("where") or {}).items()}


def read_raw_rows(repo: Repository, name: str, facts: dict[str, Any], where: dict[str, Any]) -> RawRows:
    """Read the rows of a place.

    name, where: config and filter, as `fill_language` returns them.
    Raises InputError where the data set lacks what the facts name or cannot be read.
    """
    split, part = parse_split(facts["split"])
    names = split_files(repo.path, repo.sizes, repo.card, name, split)
    columns: dict[str, str] = facts["columns"]
    first = download(repo, names[0])
    try:
        # Without a filter, the first rows of a split are in its first files (for English Wikipedia, in 1 of 41). All
        # files are read where the number of rows is compared with the published one.
        enough = None if where or facts.get("published") else part.stop
        files = [first, *_download_others(repo, names, first, enough)]
        on_disk = pq.read_schema(first)
        _check_columns(on_disk, columns, where, f"{repo.path} ({name})")
        filters = [_condition(column, value) for column, value in where.items()]
        table = pq.read_table(
            files,
            columns=list(dict.fromkeys(columns.values())),
            filters=functools.reduce(operator.and_, filters) if filters else None,
        )
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{repo.path}, {first.name} cannot be read: {str(error).splitlines()[0]}") from None
    split_size = table.num_rows
    table = table.slice(part.start, part.stop and part.stop - part.start)
    if not table.num_rows:
        raise InputError(f"{repo.path} ({name}) has no rows in {facts['split']}{f' where {where}' if where else ''}")
    types = column_features(repo.card, name, on_disk)
    return RawRows(
        pa.table({ours: table[theirs] for ours, theirs in columns.items()}),
        {ours: _class_names(types.get(theirs)) for ours, theirs in columns.items()},
        split_size,
    )


def parse_split(split: str) -> tuple[str, slice]:
    """Parse a split in the notation of `datasets`: `train[300:]` is train, from row 300 on."""
    match = re.fullmatch(r"([^\[\]]+)(?:\[(\d*):(\d*)\])?", split)
    if not match:
        raise InputError(f"split '{split}' is neither a name nor a part such as train[300:]")
    name, start, stop = match.groups()
    return name, slice(int(start or 0), int(stop) if stop else None)


def _download_others(repo: Repository, names: Sequence[str], first: Path, enough: int | None) -> list[Path]:
    """Download the files after the first one, until there are enough rows. None: download all."""
    files: list[Path] = []
    for name in names[1:]:
        if enough and sum(pq.read_metadata(file).num_rows for file in [first, *files]) >= enough:
            break
        files.append(download(repo, name))
    return files


def _check_columns(schema: pa.Schema, columns: dict[str, str], where: dict[str, Any], place: str) -> None:
    named = {f"columns.{ours}": theirs for ours, theirs in columns.items()} | {f"where.{name}": name for name in where}
    for key, column in named.items():
        if column not in schema.names:
            raise InputError(f"{key}: {place} has no column '{column}'; it has {', '.join(schema.names)}")


def _condition(column: str, value: Any) -> pc.Expression:
    """Return a filter for a value, or for all values that begin with it if it ends in `*`."""
    if isinstance(value, str) and value.endswith("*"):
        return pc.starts_with(pc.field(column), value.removesuffix("*"))
    return pc.field(column) == value


def _class_names(feature: Any) -> list[str] | None:
    """Return the names of a ClassLabel's numbers, or of those in lists of them."""
    inner = feature.feature if isinstance(feature, List | LargeList) else feature
    return inner.names if isinstance(inner, ClassLabel) else None
