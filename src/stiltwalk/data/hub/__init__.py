"""Data sets of the Hugging Face hub, read as conf/tasks.yaml and conf/xtreme.yaml describe them.

A split's facts are `path` (owner/name), `name` (its config), `split` (`train`, or a part of it: `train[300:]`),
`revision`, `columns` (ours: the hub's) and, where needed, `where` (column: value, which rows; a value that ends in `*`
is the beginning of one), `codes` (the hub's word for a language; without it the language's own code is taken), `each`
(languages to put one after the other) and `published` (rows, or rows by language). `{language}` in `name` and `where`
stands for the language. A split may be a list of such facts, put one after the other.
"""

import functools
import operator
import re
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stiltwalk.data.hub.convert import Converted, convert, join, without
from stiltwalk.data.hub.fetch import Repository, download, repository
from stiltwalk.data.hub.layout import features, split_files
from stiltwalk.utils.errors import InputError

_told: set[tuple[str, str, str]] = set()


def read(task: str, record: dict[str, Any], split: str, language: str = "en") -> tuple[pa.Table, dict[str, Any]]:
    """Read a split of a task in a language from the hub.

    Returns a table with all columns of the record's kind and its origin: what was asked for, the commit that was read,
    its licence, and how many rows there were, were dropped (by reason), re-anchored and used. Same commit, same bytes.
    `sample.<split>` rows are drawn by number (`sample.seed`), the same numbers whatever the language.
    Raises InputError, naming the key of the configuration, where the hub lacks what it names or cannot be read.
    """
    key = f"{'xtreme' if 'languages' in record else 'tasks'}.{task}.{split}"
    facts = record.get(split)
    if facts is None:
        raise InputError(f"{key} is missing: the configuration knows no such split on the hub")
    listed = facts if isinstance(facts, list) else [facts]
    places = [(part, code) for part in listed for code in part.get("each", [language])]
    try:
        parts, origins = zip(*(_part(part, record, split, code) for part, code in places), strict=True)
    except InputError as error:
        raise InputError(f"{key}: {error}") from None
    done = join(parts)
    sample = record.get("sample") or {}
    rows = draw(done, sample.get(split), sample.get("seed", 0))
    if not len(rows):
        raise InputError(f"{key}: none of {done.table.num_rows:,} rows is fit: {', '.join(done.unfit)}")
    origin = {
        **(origins[0] if len(origins) == 1 else {"parts": list(origins)}),
        "rows_used": len(rows),
        "sample": {"rows": sample.get(split), "seed": sample.get("seed", 0)},
    }
    return take(parts, rows), origin


def pairs(
    task: str, record: dict[str, Any], split: str, language: str
) -> tuple[pa.Table, list[tuple[str, str]], dict[str, Any]]:
    """The two sides of a data set of translations as corpora in which every sentence has one, and the pairs of ids.

    Returns a table of kind `mining`, the pairs and the origin, as sources.own.pairs does. Always whole: fewer sentences
    are an easier task. Raises InputError as `read` does.
    """
    table, origin = read(task, record | {"sample": {}}, split, language)
    sides = table["side"].to_pylist()
    ids = table["id"].to_pylist()
    places = {place: row for row, place in reversed(list(enumerate(zip(sides, ids, strict=True))))}
    half = len(ids) // 2
    once = table.take(pa.array(sorted(places.values())))  # a sentence may be in several pairs
    return once, list(zip(ids[:half], ids[half:], strict=True)), origin


def _part(facts: dict[str, Any], record: dict[str, Any], split: str, language: str) -> tuple[Converted, dict[str, Any]]:
    """The rows of one place on the hub, and their origin."""
    name, where = _fill(facts, language)
    repo = repository(facts["path"], facts["revision"])
    raw, types, found = _rows(repo, name, facts, where)
    place = f"{repo.path} ({name}), {facts['split']}{f' where {where}' if where else ''}"
    published = facts.get("published")
    published = published.get(language) if isinstance(published, dict) else published
    if published not in (None, found) and (told := (repo.path, name, facts["split"])) not in _told:
        _told.add(told)
        print(f"warning: {place}: {found:,} rows, where {published:,} are published", file=sys.stderr)
    done = convert(raw, record["kind"], record.get("labels") or [], types, split == "train", place)
    if characters := record.get("drop_characters"):
        done.table = without(done.table, characters)
    return done, {
        "path": repo.path,
        "name": name,
        "split": facts["split"],
        "where": where,
        "revision": repo.revision,
        "sha": repo.sha,
        "license": repo.license,
        "rows_published": published,
        "rows_read": raw.num_rows,
        "dropped": {reason: int(mask.sum()) for reason, mask in done.unfit.items()},
        **done.counts,
    }


def draw(done: Converted, size: int | None, seed: int) -> np.ndarray:
    """Numbers, in rising order, of `size` fit rows (all of them if None or fewer).

    The permutation is over all rows, fit or not: an unfit row in one language does not shift the others' sample.
    """
    order = np.random.default_rng(seed).permutation(done.table.num_rows)
    fit = ~np.any([np.zeros(len(order), bool), *done.unfit.values()], axis=0)
    return np.sort(order[fit[order]][:size])


def take(parts: Sequence[Converted], rows: np.ndarray) -> pa.Table:
    """These rows (numbers in rising order) of all parts' rows.

    Of each part by itself: pyarrow takes rows of no column that has more than 2 GB of text.
    """
    ends = np.cumsum([len(part.table) for part in parts])
    each = np.split(rows, np.searchsorted(rows, ends[:-1]))
    firsts = [0, *ends[:-1].tolist()]
    return pa.concat_tables(
        part.table.take(pa.array(mine - first)) for part, mine, first in zip(parts, each, firsts, strict=True)
    )


def _fill(facts: dict[str, Any], language: str) -> tuple[str, dict[str, Any]]:
    """The config's name and the row filter for a language."""
    codes = facts.get("codes") or {language: language}

    def fill(template: Any) -> Any:
        if not isinstance(template, str) or "{language}" not in template:
            return template
        if language not in codes:
            raise InputError(f"codes has no language '{language}'; it has {', '.join(codes)}")
        return template.replace("{language}", codes[language])

    return fill(facts["name"]), {column: fill(value) for column, value in (facts.get("where") or {}).items()}


def _rows(
    repo: Repository, name: str, facts: dict[str, Any], where: dict[str, Any]
) -> tuple[pa.Table, dict[str, Any], int]:
    """The mapped columns of the rows under their names here, the feature types of those columns, the split's rows."""
    split, part = _slice(facts["split"])
    names = split_files(repo.path, repo.sizes, repo.card, name, split)
    columns: dict[str, str] = facts["columns"]
    files = [download(repo, names[0])]
    try:
        # The first rows of a split without a filter lie in its first files: of Wikipedia in English in one of 41. Where
        # the publishers' count is to be compared, all are read.
        enough = part.stop if part.stop and not where and not facts.get("published") else None
        for file in names[1:]:
            if enough is not None and sum(pq.read_metadata(one).num_rows for one in files) >= enough:
                break
            files.append(download(repo, file))
        on_disk = pq.read_schema(files[0])
        named = {**{f"columns.{ours}": theirs for ours, theirs in columns.items()}, **{f"where.{c}": c for c in where}}
        for key, column in named.items():
            if column not in on_disk.names:
                have = ", ".join(on_disk.names)
                raise InputError(f"{key}: {repo.path} ({name}) has no column '{column}'; it has {have}")
        filters = [_condition(column, value) for column, value in where.items()]
        table = pq.read_table(
            files,
            columns=list(dict.fromkeys(columns.values())),
            filters=functools.reduce(operator.and_, filters) if filters else None,
        )
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{repo.path}, {files[0].name} cannot be read: {str(error).splitlines()[0]}") from None
    found, table = table.num_rows, table.slice(part.start, part.stop and part.stop - part.start)
    if not table.num_rows:
        raise InputError(f"{repo.path} ({name}) has no rows in {facts['split']}{f' where {where}' if where else ''}")
    types = features(repo.card, name, on_disk)
    raw = pa.table({ours: table[theirs] for ours, theirs in columns.items()})
    return raw, {ours: types.get(theirs) for ours, theirs in columns.items()}, found


def _slice(split: str) -> tuple[str, slice]:
    """`train[300:]` -> train and its rows from 300 on, as `datasets` writes it."""
    match = re.fullmatch(r"([^\[\]]+)(?:\[(\d*):(\d*)\])?", split)
    if not match:
        raise InputError(f"split '{split}' is neither a name nor a part such as train[300:]")
    name, start, stop = match.groups()
    return name, slice(int(start or 0), int(stop) if stop else None)


def _condition(column: str, value: Any) -> pc.Expression:
    if isinstance(value, str) and value.endswith("*"):
        return pc.starts_with(pc.field(column), value.removesuffix("*"))
    return pc.field(column) == value


__all__ = ["draw", "pairs", "read"]
