"""Rows of tagged sentences: `tokens` and `tags` (their names), as many as tokens.

A user's own file has one of two layouts. `tokens`: a line `token<TAB>tag` per token and an empty line after each
sentence (as in CCGbank's files of supertags). `sentences`: a line `token token ...<TAB>tag tag ...` per sentence (as in
jiant's).
XTREME's label file: one tag per line and an empty line between sentences.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stiltwalk.tasks.base_data.hub_columns import HubColumns, as_array, is_list, is_text, list_lengths, null_mask
from stiltwalk.tasks.base_data.kind_rows import ConvertedRows, KindRows
from stiltwalk.tasks.base_data.own_lines import check_labels, read_lines, split_fields
from stiltwalk.utils.errors import InputError


class Rows(KindRows):
    """Tagged sentences."""

    kind = "tagging"
    schema = pa.schema({"tokens": pa.list_(pa.string()), "tags": pa.list_(pa.string())})
    gold = "tags"
    non_text_columns = frozenset({"tokens", "tags"})
    nullable_columns = frozenset({"tokens", "tags"})

    def convert_columns(self, raw: HubColumns) -> ConvertedRows:
        """Convert tags to their names. A sentence without tokens, or with a token without a tag, is unfit."""
        tokens, tags = raw.array("tokens"), raw.array("tags")
        lengths = _check_lists(tokens, tags, raw.where)
        ends = np.cumsum(lengths)
        names = raw.label_names("tags", tags.flatten(), lambda token: int(np.searchsorted(ends, token, side="right")))
        offsets = np.concatenate([[0], ends]).astype(np.int32)
        nulls = np.concatenate([[0], np.cumsum(null_mask(names))])
        table = pa.table({"tokens": tokens, "tags": pa.ListArray.from_arrays(pa.array(offsets), names)})
        unlabelled = nulls[offsets[1:]] > nulls[offsets[:-1]]
        return ConvertedRows(table, {"no tokens": lengths == 0, "unlabelled": unlabelled})

    def drop_characters(self, table: pa.Table, characters: str) -> pa.Table:
        """Remove characters from every token."""
        tokens = as_array(table, "tokens")
        words = tokens.flatten()
        for character in characters:
            words = pc.replace_substring(words, character, "")
        offsets = np.concatenate([[0], np.cumsum(list_lengths(tokens))]).astype(np.int32)
        column = pa.ListArray.from_arrays(pa.array(offsets), words).cast(tokens.type)
        return table.set_column(table.schema.get_field_index("tokens"), "tokens", column)

    def read_own(self, path: Path, labels: Mapping[str, int], layout: str = "") -> Iterator[dict[str, Any]]:
        """Yield the sentences of a file in the layout `tokens` or `sentences`, or in the one that its lines show."""
        lines = list(read_lines(path))
        if (layout or _find_layout(path, lines)) == "sentences":
            return (_parse_sentence(place, line, labels) for place, line in lines if line.strip(" "))
        return _group_tokens(lines, labels)

    def split_gold(self, table: pa.Table) -> tuple[pa.Table, str]:
        """Return the tokens, and one tag per line with an empty line between sentences."""
        sentences = ("".join(f"{tag}\n" for tag in tags) for tags in table["tags"].to_pylist())
        return table.drop_columns(["tags"]), "\n".join(sentences)


def _find_layout(path: Path, lines: Sequence[tuple[str, str]]) -> str:
    """Return the layout that the lines of a file show. Raise InputError if they show both or neither.

    A tag with a space is that of a sentence. An empty line between two others separates sentences of one token a line.
    """
    written = [number for number, (_, line) in enumerate(lines) if line.strip(" ")]
    sentences = [number for number in written if " " in lines[number][1].partition("\t")[2].strip()]
    empty = [after - 1 for before, after in itertools.pairwise(written) if after > before + 1]
    remedy = "write layout: tokens or layout: sentences into the record"
    if sentences and empty:
        raise InputError(
            f"{lines[sentences[0]][0]} has several tags, as where every line is a sentence, but line {empty[0] + 1} is "
            f"empty, as where every line is a token; mend the file, or {remedy}"
        )
    is_one_word = all(re.fullmatch(r"[^ \t]+\t[^ \t]+", lines[number][1].strip(" ")) for number in written)
    if len(written) > 1 and is_one_word and not empty:
        raise InputError(
            f"{path} has one tag on every line and no empty line between them: either one sentence, or a sentence on "
            f"every line; {remedy}"
        )
    return "sentences" if sentences else "tokens"


def _check_lists(tokens: pa.Array, tags: pa.Array, where: str) -> np.ndarray:
    """Return the number of tokens of every row. Raise InputError unless rows have texts and as many tags."""
    for name, column in (("tokens", tokens), ("tags", tags)):
        if not is_list(column.type):
            raise InputError(f"{where}: {name} have the type {column.type}, not lists; check `columns` of its record")
    words = tokens.flatten()
    if not is_text(words.type) or words.null_count:
        raise InputError(f"{where}: tokens have the type {tokens.type}, or some are null; all must be texts")
    lengths, tag_counts = list_lengths(tokens), list_lengths(tags)
    unequal = lengths != tag_counts
    if unequal.any():
        row = int(unequal.argmax())
        raise InputError(f"{where}: row {row} has {lengths[row]} tokens and {tag_counts[row]} tags")
    return lengths


def _group_tokens(lines: Sequence[tuple[str, str]], labels: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """Yield the sentences of a file with one token per line."""
    sentence: dict[str, list[str]] = {"tokens": [], "tags": []}
    for place, line in [*lines, ("", "")]:
        if line.strip(" "):
            token, tag = split_fields(place, line, ["token", "tag"], blanks=" ")
            check_labels(place, [tag], labels)
            sentence["tokens"].append(token)
            sentence["tags"].append(tag)
        elif sentence["tokens"]:
            yield sentence
            sentence = {"tokens": [], "tags": []}


def _parse_sentence(place: str, line: str, labels: Mapping[str, int]) -> dict[str, Any]:
    """Read one sentence in jiant's layout."""
    fields = split_fields(place, line, ["tokens", "tags"], blanks=" ")
    tokens, tags = ([word for word in field.split(" ") if word] for field in fields)
    if len(tokens) != len(tags):
        raise InputError(f"{place} has {len(tokens)} tokens and {len(tags)} tags; a tag must not contain a space")
    check_labels(place, tags, labels)
    return {"tokens": tokens, "tags": tags}
