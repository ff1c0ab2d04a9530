"""Data sets of the Hugging Face hub, read as conf/tasks.yaml and conf/xtreme.yaml describe them.

A split's facts are `path` (owner/name), `name` (its config), `split`, `revision`, `columns` (ours: the hub's) and,
where needed, `where` (column: value, which rows), `codes` (the hub's word for a language; without it the language's own
code is taken) and `published` (rows, or rows by language). `{language}` in `name` and `where` stands for the language.
"""

import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common.errors import InputError
from sources.hub.convert import Converted, convert
from sources.hub.fetch import Repository, download, repository
from sources.hub.layout import features, split_files

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
    try:
        name, where = _fill(facts, language)
        repo = repository(facts["path"], facts["revision"])
        raw, types = _rows(repo, name, facts, where)
        place = f"{repo.path} ({name}), {facts['split']}{f' where {where}' if where else ''}"
        done = convert(raw, record["kind"], record.get("labels") or [], types, split == "train", place)
    except InputError as error:
        raise InputError(f"{key}: {error}") from None
    published = facts.get("published")
    published = published.get(language) if isinstance(published, dict) else published
    if published not in (None, raw.num_rows) and (told := (repo.path, name, facts["split"])) not in _told:
        _told.add(told)
        print(f"warning: {place}: {raw.num_rows:,} rows, where {published:,} are published", file=sys.stderr)
    sample = record.get("sample") or {}
    rows = draw(done, sample.get(split), sample.get("seed", 0))
    origin = {
        "path": repo.path,
        "name": name,
        "split": facts["split"],
        "where": where,
        "revision": repo.revision,
        "sha": repo.sha,
        "license": repo.license,
        "rows_published": published,
        "rows_read": raw.num_rows,
        "rows_used": len(rows),
        "dropped": {reason: int(mask.sum()) for reason, mask in done.unfit.items()},
        **done.counts,
        "sample": {"rows": sample.get(split), "seed": sample.get("seed", 0)},
    }
    return done.table.take(pa.array(rows)), origin


def draw(done: Converted, size: int | None, seed: int) -> np.ndarray:
    """Numbers, in rising order, of `size` fit rows (all of them if None or fewer).

    The permutation is over all rows, fit or not: an unfit row in one language does not shift the others' sample.
    """
    order = np.random.default_rng(seed).permutation(done.table.num_rows)
    fit = ~np.any([np.zeros(len(order), bool), *done.unfit.values()], axis=0)
    return np.sort(order[fit[order]][:size])


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


def _rows(repo: Repository, name: str, facts: dict[str, Any], where: dict[str, Any]) -> tuple[pa.Table, dict[str, Any]]:
    """The mapped columns of the rows, under their names here, and the feature types of those columns."""
    files = [download(repo, file) for file in split_files(repo.path, repo.sizes, repo.card, name, facts["split"])]
    columns: dict[str, str] = facts["columns"]
    try:
        on_disk = pq.read_schema(files[0])
        named = {**{f"columns.{ours}": theirs for ours, theirs in columns.items()}, **{f"where.{c}": c for c in where}}
        for key, column in named.items():
            if column not in on_disk.names:
                have = ", ".join(on_disk.names)
                raise InputError(f"{key}: {repo.path} ({name}) has no column '{column}'; it has {have}")
        filters = [(column, "==", value) for column, value in where.items()] or None
        table = pq.read_table(files, columns=list(dict.fromkeys(columns.values())), filters=filters)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{repo.path}, {files[0].name} cannot be read: {str(error).splitlines()[0]}") from None
    if not table.num_rows:
        raise InputError(f"{repo.path} ({name}) has no rows in {facts['split']}{f' where {where}' if where else ''}")
    types = features(repo.card, name, on_disk)
    raw = pa.table({ours: table[theirs] for ours, theirs in columns.items()})
    return raw, {ours: types.get(theirs) for ours, theirs in columns.items()}


__all__ = ["draw", "read"]
