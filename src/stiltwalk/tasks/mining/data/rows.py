"""Rows of bitext mining: `side` (source: a language; target: English), `id` and `text`. Gold pairs are kept apart.

A user's own files have the layout of BUCC 2018: `<language>-en.<part>.{<language>,en,gold}`. A line of a corpus is
`id<TAB>sentence`, and a line of the gold is `id<TAB>English id`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stiltwalk.tasks.base_data.hub_columns import HubColumns
from stiltwalk.tasks.base_data.kind_rows import ConvertedRows, KindRows
from stiltwalk.tasks.base_data.own_lines import read_lines
from stiltwalk.utils.errors import InputError

SIDES = ("source", "target")


class Rows(KindRows):
    """Sentences of two corpora."""

    kind = "mining"
    schema = pa.schema({"side": pa.string(), "id": pa.string(), "text": pa.string()})
    non_text_columns = frozenset({"source_id", "target_id"})

    def convert_columns(self, raw: HubColumns) -> ConvertedRows:
        """Put all source sentences first, then their translations in the same order.

        A pair that lacks a sentence is unfit: google/xtreme lost some to quotation marks in BUCC's files.
        """
        texts = [pc.utf8_trim_whitespace(raw.array(side)) for side in SIDES]
        blank = np.any([pc.equal(text, "").to_numpy(zero_copy_only=False) for text in texts], axis=0)
        columns = {
            "side": np.repeat(SIDES, len(raw)),
            "id": pa.concat_arrays([raw.array(f"{side}_id").cast(pa.string()) for side in SIDES]),
            "text": pa.concat_arrays(texts),
        }
        return ConvertedRows(pa.table(columns), {"sides of pairs that lack a sentence": np.tile(blank, 2)})

    def split_pairs(self, table: pa.Table) -> tuple[pa.Table, list[tuple[str, str]]]:
        """Return corpora that hold each sentence once (it may be in several pairs), and the pairs of ids."""
        sides, ids = table["side"].to_pylist(), table["id"].to_pylist()
        first_rows: dict[tuple[str, str], int] = {}
        for row, sentence in enumerate(zip(sides, ids, strict=True)):
            first_rows.setdefault(sentence, row)
        half = len(ids) // 2
        return table.take(pa.array(list(first_rows.values()))), list(zip(ids[:half], ids[half:], strict=True))

    def own_file_names(self, record: Mapping[str, Any]) -> list[str]:
        """Return the names of two corpora and their gold for every language and part."""
        return [
            f"{language}-en.{part}.{end}"
            for language in record["languages"]
            for part in record["parts"].values()
            for end in (language, "en", "gold")
        ]

    def read_own_pairs(self, stem: Path, language: str) -> tuple[pa.Table, list[tuple[str, str]]]:
        """Read `<stem>.<language>`, `<stem>.en` and `<stem>.gold`.

        Raises InputError, naming file and line, where a line has another layout, an id appears twice in a corpus or a
        gold pair names a sentence that does not exist.
        """
        columns: dict[str, list[str]] = {"side": [], "id": [], "text": []}
        known: dict[str, set[str]] = {}
        for side, end in zip(SIDES, (language, "en"), strict=True):
            known[side] = set()
            for place, name, text in _read_corpus(Path(f"{stem}.{end}")):
                if name in known[side]:
                    raise InputError(f"{place} has the id {name[:80]!r} a second time; ids must be unique")
                known[side].add(name)
                columns["side"].append(side)
                columns["id"].append(name)
                columns["text"].append(text)
        gold = []
        for place, line in read_lines(Path(f"{stem}.gold")):
            if not line:
                continue
            source, tab, target = line.partition("\t")
            if not tab or source not in known["source"] or target not in known["target"]:
                raise InputError(f"{place} is {line[:80]!r}, not the id of a sentence in {language} and of one in en")
            gold.append((source, target))
        if not gold:
            raise InputError(f"{stem}.gold has no pairs")
        return pa.table(columns), gold


def _read_corpus(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the place, id and text of every sentence."""
    for place, line in read_lines(path):
        if not line:
            continue
        name, _, text = line.partition("\t")
        if not text.strip() or not name.isprintable() or name != name.strip() or not name:
            raise InputError(f"{place} is {line[:80]!r}, not id<TAB>sentence")
        yield place, name, text
