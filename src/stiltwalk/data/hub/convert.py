"""From a data set's columns as the hub has them to the columns of a kind of task (common/tables.py).

Each function takes a table whose columns have the kind's names already, and their types on the hub. The result has as
many rows; which of them are unfit, and why, is said beside it, so that a sample can be drawn from the same row numbers
in every language of a parallel test set.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel

from stiltwalk.tasks.tables import schema
from stiltwalk.utils.errors import InputError

MAY_LACK = ("label", "tokens", "tags")  # a row without is dropped
LONGEST = 10_000  # characters that are kept of a text, 2,000 tokens or so; an encyclopedia's are longer
NOT_TEXT = (*MAY_LACK, "answers", "choices", "id", "source_id", "target_id")


@dataclass
class Converted:
    """Rows of a kind; `unfit` has a boolean for each row under each reason to drop it; `counts` is for the record."""

    table: pa.Table
    unfit: dict[str, np.ndarray] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


def convert(
    raw: pa.Table, kind: str, labels: Sequence[str], features: dict[str, Any], training: bool, where: str
) -> Converted:
    """Convert all rows.

    labels: names of the record. features: `datasets` feature of a column, by the kind's column names.
    training: False where every row must be kept for predicting. where: data set and split, for messages.
    Raises InputError on a label that is not one of `labels` and on values that cannot be rows of the kind.
    """
    for name in raw.column_names:
        found = raw.schema.field(name).type
        if name not in NOT_TEXT and not (pa.types.is_string(found) or pa.types.is_large_string(found)):
            raise InputError(f"{where}: {name} is of the type {found}, not text; see columns")
        if raw[name].null_count and name not in MAY_LACK:
            row = pc.index(pc.is_null(raw[name]), True).as_py()
            raise InputError(f"{where}: row {row} has no {name}")
    try:
        done = KINDS[kind](raw.combine_chunks(), labels, features, training, where)
        done.table = done.table.select(schema(kind).names).cast(schema(kind))
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"{where}: columns do not fit a {kind} task: {str(error).splitlines()[0]}") from None
    return done


def join(parts: Sequence[Converted]) -> Converted:
    """Rows of several places one after the other; reasons and counts of all."""
    reasons = dict.fromkeys(reason for part in parts for reason in part.unfit)
    unfit = {
        reason: np.concatenate([part.unfit.get(reason, np.zeros(len(part.table), bool)) for part in parts])
        for reason in reasons
    }
    counts = {name: sum(part.counts.get(name, 0) for part in parts) for part in parts for name in part.counts}
    return Converted(pa.concat_tables([part.table for part in parts]), unfit, counts)


def without(table: pa.Table, characters: str) -> pa.Table:
    """Rows of a tagging task whose tokens lack these characters."""
    tokens = _array(table, "tokens")
    words = tokens.flatten()
    for character in characters:
        words = pc.replace_substring(words, character, "")
    lengths = pc.fill_null(pc.list_value_length(tokens), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    column = pa.ListArray.from_arrays(offsets, words).cast(tokens.type)
    return table.set_column(table.schema.get_field_index("tokens"), "tokens", column)


def _pair(raw: pa.Table, labels: Sequence[str], features: dict[str, Any], training: bool, where: str) -> Converted:
    names = _names(_array(raw, "label"), features["label"], labels, lambda i: f"{where}: row {i}")
    table = raw.set_column(raw.schema.get_field_index("label"), "label", names)
    return Converted(table, {"unlabelled": pc.is_null(names).to_numpy(zero_copy_only=False)})


def _tagging(raw: pa.Table, labels: Sequence[str], features: dict[str, Any], training: bool, where: str) -> Converted:
    tokens, tags = _array(raw, "tokens"), _array(raw, "tags")
    for name, column in (("tokens", tokens), ("tags", tags)):
        if not _is_list(column.type):
            raise InputError(f"{where}: {name} are {column.type}, not lists")
    words = tokens.flatten()
    if not (pa.types.is_string(words.type) or pa.types.is_large_string(words.type)) or words.null_count:
        raise InputError(f"{where}: tokens are {tokens.type}, or some are null; they must be texts")
    lengths, of_tags = (pc.fill_null(pc.list_value_length(c), 0).to_numpy(zero_copy_only=False) for c in (tokens, tags))
    if (row := _first(lengths != of_tags)) is not None:
        raise InputError(f"{where}: row {row} has {lengths[row]} tokens and {of_tags[row]} tags")
    ends = np.cumsum(lengths)
    names = _names(
        tags.flatten(),
        getattr(features["tags"], "feature", None),
        labels,
        lambda i: f"{where}: row {np.searchsorted(ends, i, side='right')}",
    )
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    nulls = np.concatenate([[0], np.cumsum(pc.is_null(names).to_numpy(zero_copy_only=False))])
    table = pa.table({"tokens": tokens, "tags": pa.ListArray.from_arrays(pa.array(offsets), names)})
    return Converted(table, {"no tokens": lengths == 0, "unlabelled": nulls[offsets[1:]] > nulls[offsets[:-1]]})


def _qa(raw: pa.Table, labels: Sequence[str], features: dict[str, Any], training: bool, where: str) -> Converted:
    """Answers are put where their text is: google/xtreme strips contexts but leaves `answer_start` as it was.

    The place nearest to the stated one is taken. For training an answer without a place is left out, and a row that
    had answers and keeps none is unfit; otherwise it stays, its text being what is scored, with -1 for its place.
    """
    answers = _array(raw, "answers")
    parts: dict[str, pa.DataType] = {}
    if pa.types.is_struct(answers.type):
        fields = [answers.type.field(i) for i in range(answers.type.num_fields)]
        parts = {part.name: part.type for part in fields}
    if not all(_is_list(parts.get(name)) for name in ("text", "answer_start")):
        raise InputError(f"{where}: answers are {answers.type}, not lists of text and answer_start")
    mended, unfit = [], np.zeros(len(raw), bool)
    counts = {"reanchored": 0, "not in context": 0}
    for row, (context, answer) in enumerate(zip(raw["context"].to_pylist(), answers.to_pylist(), strict=True)):
        kept: dict[str, list[Any]] = {"text": [], "answer_start": []}
        texts, starts = answer["text"] or [], answer["answer_start"] or []
        whole = all(isinstance(text, str) for text in texts) and all(type(start) is int for start in starts)
        if len(texts) != len(starts) or not whole:
            raise InputError(f"{where}: row {row} has the answers {str(answer)[:80]}; each needs a text and a start")
        for text, start in zip(texts, starts, strict=True):
            place = start if start >= 0 and context.startswith(text, start) else _nearest(context, text, start)
            counts["reanchored"] += place not in (start, -1)
            counts["not in context"] += place == -1
            if place != -1 or not training:
                kept["text"].append(text)
                kept["answer_start"].append(place)
        unfit[row] = bool(texts) and not kept["text"]
        mended.append(kept)
    column = pa.array(mended, schema("qa").field("answers").type)
    table = raw.set_column(raw.schema.get_field_index("answers"), "answers", column)
    return Converted(table, {"answer not in context": unfit}, counts)


def _nearest(context: str, text: str, start: int) -> int:
    places = [match.start() for match in re.finditer(f"(?={re.escape(text)})", context)] if text else []
    return min(places, key=lambda place: abs(place - start), default=-1)


def _choice(raw: pa.Table, labels: Sequence[str], features: dict[str, Any], training: bool, where: str) -> Converted:
    """`question` is added to the prompt and `stem` begins every choice (jiant's formats of Cosmos QA and HellaSwag).

    The choices are a list, the `text` of a struct of lists, or columns choice0, choice1, ...
    """
    of_label = _names(_array(raw, "label"), features["label"], labels, lambda i: f"{where}: row {i}")
    if "choices" in raw.column_names:
        found = raw["choices"].to_pylist()
        choices: list[Any] = [choice.get("text") if isinstance(choice, dict) else choice for choice in found]
    else:
        columns = [f"choice{i}" for i in range(len(labels)) if f"choice{i}" in raw.column_names]
        choices = [list(row) for row in zip(*(raw[name].to_pylist() for name in columns), strict=True)]
    for row, texts in enumerate(choices):
        if not isinstance(texts, list) or len(texts) != len(labels) or not all(isinstance(text, str) for text in texts):
            raise InputError(
                f"{where}: row {row} has the choices {repr(texts)[:80]}; the record's labels are {', '.join(labels)}"
            )
    stems = raw["stem"].to_pylist() if "stem" in raw.column_names else [""] * len(raw)
    prompts = raw["prompt"].to_pylist()
    if "question" in raw.column_names:
        prompts = [
            f"{prompt} {question}" for prompt, question in zip(prompts, raw["question"].to_pylist(), strict=True)
        ]
    numbers = [None if name is None else labels.index(name) for name in of_label.to_pylist()]
    table = {
        "prompt": prompts,
        "choices": [[f"{s} {text}".strip() for text in texts] for s, texts in zip(stems, choices, strict=True)],
        "label": pa.array(numbers, pa.int32()),
    }
    return Converted(pa.table(table), {"unlabelled": pc.is_null(of_label).to_numpy(zero_copy_only=False)})


def _retrieval(raw: pa.Table, labels: Sequence[str], features: dict[str, Any], training: bool, where: str) -> Converted:
    # google/xtreme yields the lines of Tatoeba's files with their line ends.
    return Converted(pa.table({name: pc.utf8_rtrim(raw[name], "\r\n") for name in ("source", "target")}))


def _text(raw: pa.Table, labels: Sequence[str], features: dict[str, Any], training: bool, where: str) -> Converted:
    empty = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(_array(raw, "text"))), 0)
    begins = pc.utf8_slice_codeunits(_array(raw, "text"), 0, LONGEST)
    return Converted(pa.table({"text": begins}), {"no text": empty.to_numpy(zero_copy_only=False)})


def _mining(raw: pa.Table, labels: Sequence[str], features: dict[str, Any], training: bool, where: str) -> Converted:
    """Translation pairs as corpora: all source sentences with their ids, then their translations in the same order.

    google/xtreme has some gold pairs without one of the sentences, lost to quotation marks in BUCC's files.
    """
    sides = ("source", "target")
    texts = [pc.utf8_trim_whitespace(_array(raw, side)) for side in sides]
    blank = np.any([pc.equal(text, "").to_numpy(zero_copy_only=False) for text in texts], axis=0)
    columns = {
        "side": np.repeat(sides, len(raw)),
        "id": pa.concat_arrays([_array(raw, f"{side}_id").cast(pa.string()) for side in sides]),
        "text": pa.concat_arrays(texts),
    }
    return Converted(pa.table(columns), {"sides of pairs that lack a sentence": np.tile(blank, 2)})


KINDS = {
    "pair": _pair,
    "tagging": _tagging,
    "qa": _qa,
    "choice": _choice,
    "text": _text,
    "retrieval": _retrieval,
    "mining": _mining,
}


def _array(table: pa.Table, name: str) -> pa.Array:
    column = table[name].combine_chunks()
    return column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)


def _is_list(type_: pa.DataType | None) -> bool:
    return type_ is not None and (pa.types.is_list(type_) or pa.types.is_large_list(type_))


def _first(mask: np.ndarray) -> int | None:
    return int(mask.argmax()) if mask.any() else None


def _names(values: pa.Array, feature: Any, labels: Sequence[str], place: Callable[[int], str]) -> pa.Array:
    """Names of labels that may be names, numbers of a ClassLabel, or numbers (also as text) into `labels`.

    No label (-1 or null) becomes null. place: where value number i stands, for the message about an unknown label.
    """
    encoded = values.dictionary_encode()
    names = []
    for code, value in enumerate(encoded.dictionary.to_pylist()):
        name = _name(value, feature, labels)
        if name is not None and name not in labels:
            at = pc.index(encoded.indices, code).as_py()
            shown = repr(value)[:80] if name == value else f"{value!r} ({name})"
            raise InputError(f"{place(at)} has the label {shown}; the record's labels are {', '.join(labels)}")
        names.append(name)
    return pa.array(names, pa.string()).take(encoded.indices)


def _name(value: Any, feature: Any, labels: Sequence[str]) -> str | None:
    if value is None or value in labels:
        return value
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        value = int(value)
    if isinstance(value, int):
        known = feature.names if isinstance(feature, ClassLabel) else labels
        return None if value == -1 else known[value] if 0 <= value < len(known) else "of no name"
    return str(value)
