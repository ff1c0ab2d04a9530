"""Rows from data sets of the Hugging Face hub, which conf/tasks.yaml and conf/xtreme.yaml describe.

The facts of a split are `path` (owner/name), `name` (its config), `split` (`train`, or a part of it: `train[300:]`),
`revision` and `columns` (our name: the data set's name). Some places need more:
- `where`: column -> value of the rows to read; a value that ends in `*` selects all values that begin with it.
- `codes`: language -> the data set's word for it. Without `codes`, it is the language's own code.
- `each`: languages whose rows are concatenated.
- `published`: number of rows (or number by language) that the authors publish; a different number prints a warning.
In `name` and `where`, `{language}` stands for the language. A list of such facts is read in its order.
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from stiltwalk.data.hub.fetch import resolve_repository
from stiltwalk.data.hub.raw_rows import fill_language, read_raw_rows
from stiltwalk.tasks.base_data.hub_columns import HubColumns
from stiltwalk.tasks.base_data.kind_rows import ConvertedRows, load_rows
from stiltwalk.utils.errors import InputError

_warned_places: set[str] = set()


def target_languages(record: dict[str, Any]) -> list[str]:
    """Return the languages in which a target is tested: those of its record."""
    languages: list[str] = record["languages"]
    return languages


def read(task: str, record: dict[str, Any], split: str, language: str = "en") -> tuple[pa.Table, dict[str, Any]]:
    """Read a split of a task in a language from the hub.

    Returns a table with all columns of the record's kind, and its origin: what was requested, the commit that was read,
    its licence, and the numbers of rows that were read, dropped (by reason), changed and used. The same commit gives
    the same bytes. `sample.<split>` rows are drawn by row number with the seed `sample.seed`, the same in every
    language.
    Raises InputError, naming the key of the configuration, where the hub lacks what it names or cannot be read.
    """
    key = f"{'xtreme' if 'languages' in record else 'tasks'}.{task}.{split}"
    facts = record.get(split)
    if facts is None:
        raise InputError(f"{key} is missing; add the place of this split on the hub")
    listed = facts if isinstance(facts, list) else [facts]
    places = [(place, code) for place in listed for code in place.get("each", [language])]
    try:
        parts, origins = zip(*(_read_place(place, record, split, code) for place, code in places), strict=True)
    except InputError as error:
        is_test = split == "test" and "languages" in record
        hint = f" (to leave {language} out: ++xtreme.{task}.languages=[...])" if is_test else ""
        raise InputError(f"{key}: {error}{hint}") from None
    rows = join(parts)
    sample = record.get("sample") or {}
    drawn = draw(rows, sample.get(split), sample.get("seed", 0))
    if not len(drawn):
        raise InputError(f"{key}: none of its {rows.table.num_rows:,} rows can be used: {', '.join(rows.unfit)}")
    origin = {
        **(origins[0] if len(origins) == 1 else {"parts": list(origins)}),
        "rows_used": len(drawn),
        "sample": {"rows": sample.get(split), "seed": sample.get("seed", 0)},
    }
    return take(parts, drawn), origin


def read_pairs(
    task: str, record: dict[str, Any], split: str, language: str
) -> tuple[pa.Table, list[tuple[str, str]], dict[str, Any]]:
    """Read a data set of translations as corpora in which every sentence has a translation.

    Returns a table of kind `mining`, the gold pairs of ids and the origin. No sample is drawn: fewer sentences are an
    easier task. Raises InputError as `read` does.
    """
    table, origin = read(task, record | {"sample": {}}, split, language)
    return *load_rows(record["kind"]).split_pairs(table), origin


def join(parts: Sequence[ConvertedRows]) -> ConvertedRows:
    """Concatenate rows of several places, with the reasons and counts of all."""
    reasons = dict.fromkeys(reason for part in parts for reason in part.unfit)
    unfit = {
        reason: np.concatenate([part.unfit.get(reason, np.zeros(len(part.table), bool)) for part in parts])
        for reason in reasons
    }
    counts = {name: sum(part.counts.get(name, 0) for part in parts) for part in parts for name in part.counts}
    return ConvertedRows(pa.concat_tables([part.table for part in parts]), unfit, counts)


def draw(rows: ConvertedRows, size: int | None, seed: int) -> np.ndarray:
    """Draw the numbers of `size` fit rows, in rising order; of all of them if `size` is None or too large.

    The permutation covers unfit rows, too: an unfit row in one language does not shift the sample of the others.
    """
    order = np.random.default_rng(seed).permutation(rows.table.num_rows)
    fit = ~np.any([np.zeros(len(order), bool), *rows.unfit.values()], axis=0)
    return np.sort(order[fit[order]][:size])


def take(parts: Sequence[ConvertedRows], numbers: np.ndarray) -> pa.Table:
    """Take rows of the concatenated parts by their numbers, which rise.

    Rows are taken from each part separately: pyarrow takes none from a column with more than 2 GB of text.
    """
    ends = np.cumsum([len(part.table) for part in parts])
    starts = [0, *ends[:-1].tolist()]
    numbers_by_part = np.split(numbers, np.searchsorted(numbers, ends[:-1]))
    return pa.concat_tables(
        part.table.take(pa.array(chosen - start))
        for part, chosen, start in zip(parts, numbers_by_part, starts, strict=True)
    )


def _read_place(
    facts: dict[str, Any], record: dict[str, Any], split: str, language: str
) -> tuple[ConvertedRows, dict[str, Any]]:
    """Return the converted rows of one place on the hub, and their origin."""
    name, where = fill_language(facts, language)
    repo = resolve_repository(facts["path"], facts["revision"])
    raw = read_raw_rows(repo, name, facts, where)
    place = f"{repo.path} ({name}), {facts['split']}{f' where {where}' if where else ''}"
    published = facts.get("published")
    published = published.get(language) if isinstance(published, dict) else published
    if published not in (None, raw.split_size) and place not in _warned_places:
        _warned_places.add(place)
        tqdm.write(f"warning: {place} has {raw.split_size:,} rows; its authors publish {published:,}", file=sys.stderr)
    kind_rows = load_rows(record["kind"])
    labels = record.get("labels") or []
    rows = kind_rows.convert(HubColumns(raw.table, raw.class_names, labels, training=split == "train", where=place))
    if characters := record.get("drop_characters"):
        rows.table = kind_rows.drop_characters(rows.table, characters)
    return rows, {
        "path": repo.path,
        "name": name,
        "split": facts["split"],
        "where": where,
        "revision": repo.revision,
        "sha": repo.sha,
        "license": repo.license,
        "rows_published": published,
        "rows_read": raw.table.num_rows,
        "dropped": {reason: int(mask.sum()) for reason, mask in rows.unfit.items()},
        **rows.counts,
    }
