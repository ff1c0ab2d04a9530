"""Rows of questions: `id`, `context`, `question` and `answers` (`text`, and `answer_start` in characters).

A user's own files are JSON in the layout of SQuAD 1.1 and 2.0, and so are XTREME's label files.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import pyarrow as pa

from stiltwalk.tasks.base_data.hub_columns import HubColumns, is_list
from stiltwalk.tasks.base_data.kind_rows import ConvertedRows, KindRows
from stiltwalk.tasks.base_data.own_lines import read_lines
from stiltwalk.utils.errors import InputError

ANSWERS = pa.struct({"text": pa.list_(pa.string()), "answer_start": pa.list_(pa.int32())})


class Rows(KindRows):
    """Questions whose answers are spans of a context."""

    kind = "qa"
    schema = pa.schema({"id": pa.string(), "context": pa.string(), "question": pa.string(), "answers": ANSWERS})
    gold = "answers"
    own_suffix = "json"
    label_suffix = "json"
    non_text_columns = frozenset({"id", "answers"})

    def convert_columns(self, raw: HubColumns) -> ConvertedRows:
        """Move every answer to where its text is: google/xtreme strips contexts but keeps the old `answer_start`.

        Stripping moves a text to the left, so the last occurrence at or before the stated start is taken, if there is
        one. In training, an answer that does not occur is left out, and a row that loses all its answers is unfit. A
        test keeps such an answer with start -1: only texts are scored.
        """
        answers = raw.array("answers")
        _check_answer_type(answers.type, raw.where)
        anchored = []
        unfit = np.zeros(len(raw), bool)
        counts = {"reanchored": 0, "not in context": 0}
        for row, (context, answer) in enumerate(zip(raw.values("context"), answers.to_pylist(), strict=True)):
            kept: dict[str, list[Any]] = {"text": [], "answer_start": []}
            texts, starts = _texts_and_starts(answer, f"{raw.where}: row {row}")
            for text, stated in zip(texts, starts, strict=True):
                if raw.training:
                    text, stated = trim(text, stated)
                start = _find_answer(context, text, stated)
                counts["reanchored"] += start not in (stated, -1)
                counts["not in context"] += start == -1
                if start != -1 or not raw.training:
                    kept["text"].append(text)
                    kept["answer_start"].append(start)
            unfit[row] = bool(texts) and not kept["text"]
            anchored.append(kept)
        table = raw.replace("answers", pa.array(anchored, ANSWERS))
        return ConvertedRows(table, {"answer not in context": unfit}, counts)

    def read_own(self, path: Path, labels: Mapping[str, int], layout: str = "") -> Iterator[dict[str, Any]]:
        """Yield the questions of a file in SQuAD's layout.

        {data: [{paragraphs: [{context, qas: [{id, question, answers: [{text, answer_start}], is_impossible}]}]}]}
        """
        try:
            tree = json.loads("\n".join(line for _, line in read_lines(path)))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is not JSON: {error}") from None
        seen = set[str]()
        for article_key, article in _objects(path, tree, "", "data"):
            for paragraph_key, paragraph in _objects(path, article, article_key, "paragraphs"):
                for key, question in _objects(path, paragraph, paragraph_key, "qas"):
                    row = _parse_question(f"{path}: {key}", question, paragraph.get("context"))
                    if row["id"] in seen:
                        raise InputError(f"{path}: {key}.id is {row['id'][:80]!r} a second time; ids must be unique")
                    seen.add(row["id"])
                    yield row

    def check_test(self, table: pa.Table, where: str) -> None:
        """Raise InputError on a repeated id or a question without answers: scoring would refuse it hours later."""
        seen: set[str] = set()
        for name, answers in zip(table["id"].to_pylist(), table["answers"].to_pylist(), strict=True):
            if name in seen:
                raise InputError(f"{where}: question {name[:80]!r} appears twice; scoring needs unique ids")
            if not answers["text"]:
                raise InputError(f"{where}: question {name[:80]!r} has no answer; scoring needs one")
            seen.add(name)

    def split_gold(self, table: pa.Table) -> tuple[pa.Table, str]:
        """Return ids, contexts and questions, and the whole table in SQuAD's layout."""
        paragraphs = [
            {
                "context": row["context"],
                "qas": [
                    {
                        "id": row["id"],
                        "question": row["question"],
                        "answers": [
                            {"text": text, "answer_start": start}
                            for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
                        ],
                    }
                ],
            }
            for row in table.to_pylist()
        ]
        squad = {"version": "1.1", "data": [{"title": "", "paragraphs": paragraphs}]}
        return table.drop_columns(["answers"]), json.dumps(squad, ensure_ascii=False, indent=1) + "\n"


def trim(text: str, start: int) -> tuple[str, int]:
    """Remove space and invisible characters, for which there may be no token, around an answer at `start`."""
    shown = [place for place, character in enumerate(text) if unicodedata.category(character)[0] not in "CZ"]
    return (text[shown[0] : shown[-1] + 1], start + shown[0]) if shown else ("", start)


def _check_answer_type(type_: pa.DataType, where: str) -> None:
    fields = [type_.field(i) for i in range(type_.num_fields)] if pa.types.is_struct(type_) else []
    types = {field.name: field.type for field in fields}
    if not all(is_list(types.get(name)) for name in ("text", "answer_start")):
        raise InputError(f"{where}: answers have the type {type_}, not lists of text and answer_start")


def _texts_and_starts(answer: dict[str, Any], place: str) -> tuple[list[str], list[int]]:
    """Return the answers to one question and their stated starts."""
    texts, starts = answer["text"] or [], answer["answer_start"] or []
    typed = all(isinstance(text, str) for text in texts) and all(type(start) is int for start in starts)
    if len(texts) != len(starts) or not typed:
        raise InputError(f"{place} has the answers {str(answer)[:80]}; each needs a text and a start")
    return texts, starts


def _find_answer(context: str, text: str, stated: int) -> int:
    """Return the start of the occurrence at or next before the stated start, else of the first one after it.

    Returns -1 if there is none. Starts are too high where a data set has lost characters before the answer.
    """
    if stated >= 0 and context.startswith(text, stated):
        return stated
    starts = [match.start() for match in re.finditer(f"(?={re.escape(text)})", context)] if text else []
    return max((start for start in starts if start <= stated), default=min(starts, default=-1))


def _objects(path: Path, parent: Any, parent_key: str, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the objects in the list under a key of a JSON object, each with its full key."""
    full_key = f"{parent_key}.{key}".lstrip(".")
    items = parent.get(key) if isinstance(parent, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InputError(f"{path}: {full_key} is not a list of objects; the file needs SQuAD's layout")
    return ((f"{full_key}.{number}", item) for number, item in enumerate(items))


def _parse_question(place: str, question: dict[str, Any], context: Any) -> dict[str, Any]:
    texts = {"context": context, "question": question.get("question"), "id": question.get("id")}
    if bad := [name for name, text in texts.items() if not _is_valid_text(text)]:
        raise InputError(f"{place}: its {bad[0]} is missing, blank or not a valid string")
    answers, impossible = question.get("answers") or [], question.get("is_impossible") is True
    if not isinstance(answers, list):
        raise InputError(f"{place}.answers is not a list")
    if not answers and not impossible:
        raise InputError(f"{place} has no answers; add one, or is_impossible: true")
    parsed = [] if impossible else [_parse_answer(place, answer, texts["context"]) for answer in answers]
    spans = {"text": [text for text, _ in parsed], "answer_start": [start for _, start in parsed]}
    return {**texts, "answers": spans}


def _parse_answer(place: str, answer: Any, context: str) -> tuple[str, int]:
    text, start = (answer.get("text"), answer.get("answer_start")) if isinstance(answer, dict) else (None, None)
    if not (_is_valid_text(text) and type(start) is int and start >= 0 and context.startswith(text, start)):
        raise InputError(f"{place} has the answer {str(text)[:80]!r}, which its context lacks at {str(start)[:80]}")
    return trim(text, start)


def _is_valid_text(value: Any) -> TypeGuard[str]:
    """Whether a JSON value is a string that is neither blank nor has half a surrogate pair, which UTF-8 cannot hold."""
    return isinstance(value, str) and value.strip() != "" and not re.search("[\ud800-\udfff]", value)
