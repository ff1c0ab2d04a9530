"""A user's own rows: data/own/<task>/{train,validation}.tsv, UTF-8.

| kind    | a line                                                                                          |
|---------|-------------------------------------------------------------------------------------------------|
| pair    | `text<TAB>text<TAB>label`                                                                       |
| choice  | `prompt<TAB>answer<TAB>answer ...<TAB>label`, as many answers as labels: that of the right one  |
| tagging | `token<TAB>tag`, and an empty line after a sentence (CCGbank's supertags, for one); or a        |
|         | sentence, `token token ...<TAB>tag tag ...` (jiant's layout)                                    |
| text    | a text                                                                                          |
| lexical | `word<TAB>word`                                                                                 |

qa: {train,validation}.json in the layout of SQuAD 1.1 and 2.0. mining: see `pairs`.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stiltwalk.data.own_files import FOLDER, own_file
from stiltwalk.tasks.tables import schema
from stiltwalk.utils.errors import InputError


def read(task: str, record: dict[str, Any], split: str, language: str = "en") -> tuple[pa.Table, dict[str, Any]]:
    """Read a split; returns a table with all columns of the record's kind, and its origin.

    `sample.<split>` rows are drawn by number, `sample.seed` being the seed. Raises InputError, naming file and line,
    where a line is not as the kind has it or a label is none of the record's.
    """
    path = own_file(task, record["kind"], split)
    if record["kind"] not in READERS:
        raise InputError(f"tasks.{task}: own rows can be of the kinds {', '.join(READERS)}, not {record['kind']}")
    rows = list(READERS[record["kind"]](path, {label: i for i, label in enumerate(record.get("labels") or [])}))
    if not rows:
        raise InputError(f"{path} has no rows")
    size = record["sample"].get(split)
    chosen = np.sort(np.random.default_rng(record["sample"]["seed"]).permutation(len(rows))[:size])
    table = pa.Table.from_pylist([rows[i] for i in chosen], schema=schema(record["kind"]))
    return table, {"path": str(path), "rows_read": len(rows), "rows_used": len(table), "sample": {"rows": size}}


def pairs(
    task: str, record: dict[str, Any], split: str, language: str
) -> tuple[pa.Table, list[tuple[str, str]], dict[str, Any]]:
    """Two corpora and their gold pairs in BUCC's layout: `<language>-en.<part>.{<language>,en,gold}`.

    The corpora are `id<TAB>sentence`, the gold is `id<TAB>English id`; `parts.<split>` of the record names the part.
    Always whole: fewer sentences are an easier task. Raises InputError, naming file and line, where a line is not of
    that form, an id stands twice or a gold pair names a sentence that is not there.
    """
    stem = FOLDER / task / f"{language}-en.{record['parts'][split]}"
    columns: dict[str, list[str]] = {"side": [], "id": [], "text": []}
    known: dict[str, set[str]] = {}
    for side, end in (("source", language), ("target", "en")):
        known[side] = set()
        for place, line in _lines(Path(f"{stem}.{end}")):
            if not line:
                continue
            name, tab, text = line.partition("\t")
            if not text.strip() or not name.isprintable() or name != name.strip() or not name:
                raise InputError(f"{place} is {line[:80]!r}, not id<TAB>sentence")
            if name in known[side]:
                raise InputError(f"{place} has the id {name[:80]!r}, which stands above already")
            known[side].add(name)
            columns["side"].append(side)
            columns["id"].append(name)
            columns["text"].append(text)
    gold = []
    for place, line in _lines(Path(f"{stem}.gold")):
        if not line:
            continue
        source, tab, target = line.partition("\t")
        if not tab or source not in known["source"] or target not in known["target"]:
            raise InputError(f"{place} is {line[:80]!r}, not the ids of a sentence of {language} and of one of en")
        gold.append((source, target))
    if not gold:
        raise InputError(f"{stem}.gold has no pairs")
    origin = {
        "path": f"{stem}.*",
        "part": record["parts"][split],
        "sentences": {side: len(ids) for side, ids in known.items()},
        "pairs": len(gold),
    }
    return pa.table(columns), gold, origin


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Where a line stands, and the line without its end."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        place = f"{path} line {number}"
        try:
            text = line.decode("utf-8").rstrip("\r")
        except UnicodeDecodeError:
            raise InputError(f"{place} is not UTF-8; save the file in that encoding") from None
        if "\0" in text:  # as in a file of UTF-16
            raise InputError(f"{place} has a NUL; save the file as text in UTF-8")
        yield place, text.removeprefix("\ufeff") if number == 1 else text


def _fields(place: str, line: str, names: list[str], labels: Mapping[str, int]) -> list[str]:
    """The fields of a line, the last of them a label."""
    fields = line.split("\t")
    if len(fields) != len(names) or not all(field.strip() for field in fields) or fields[-1] != fields[-1].strip():
        raise InputError(f"{place} is {line[:80]!r}, not {'<TAB>'.join(names)}")
    _check_labels(place, fields[-1:], labels)
    return fields


def _check_labels(place: str, found: list[str], labels: Mapping[str, int]) -> None:
    if labels and (odd := [label for label in found if label not in labels]):
        raise InputError(f"{place} has the label {odd[0][:80]!r}; the record's labels are {', '.join(labels)}")


def _tagging(path: Path, labels: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """In both layouts; no tag has a space in it, so a file with spaces behind tabs is jiant's."""
    lines = list(_lines(path))
    if any(" " in line.partition("\t")[2].strip() for _, line in lines):
        yield from (_tagged(place, line, labels) for place, line in lines if line.strip())
        return
    words: list[list[str]] = []
    for place, line in lines:
        if line.strip(" "):
            words.append(_fields(place, line, ["token", "tag"], labels))
        elif words:
            yield _sentence(words)
            words = []
    if words:
        yield _sentence(words)


def _tagged(place: str, line: str, labels: Mapping[str, int]) -> dict[str, Any]:
    """A sentence in jiant's layout."""
    fields = _fields(place, line, ["tokens", "tags"], {})
    tokens, tags = ([word for word in field.split(" ") if word] for field in fields)
    if len(tokens) != len(tags):
        raise InputError(f"{place} has {len(tokens)} tokens and {len(tags)} tags; no tag can have a space in it")
    _check_labels(place, tags, labels)
    return {"tokens": tokens, "tags": tags}


def _sentence(words: list[list[str]]) -> dict[str, Any]:
    return {"tokens": [token for token, _ in words], "tags": [tag for _, tag in words]}


def _pair(path: Path, labels: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    for place, line in _lines(path):
        if not line:
            continue
        first, second, label = _fields(place, line, ["text", "text", "label"], labels)
        yield {"text_a": first, "text_b": second, "label": label}


def _choice(path: Path, labels: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    for place, line in _lines(path):
        if line:
            prompt, *choices, label = _fields(place, line, ["prompt", *["answer"] * len(labels), "label"], labels)
            yield {"prompt": prompt, "choices": choices, "label": labels[label]}


def _questions(path: Path, labels: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """Of {data: [{paragraphs: [{context, qas: [{id, question, answers: [{text, answer_start}], is_impossible}]}]}]}."""
    try:
        tree = json.loads("\n".join(line for _, line in _lines(path)))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    seen = set[str]()
    for at, article in _items(path, tree, "", "data"):
        for below, paragraph in _items(path, article, at, "paragraphs"):
            for place, question in _items(path, paragraph, below, "qas"):
                row = _question(f"{path}: {place}", question, paragraph.get("context"))
                if row["id"] in seen:
                    raise InputError(f"{path}: {place}.id is {row['id'][:80]!r}, which stands above already")
                seen.add(row["id"])
                yield row


def _items(path: Path, value: dict[str, Any], at: str, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The mappings in the list under a key, each with where it stands."""
    at = f"{at}.{key}".lstrip(".")
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise InputError(f"{path}: {at} is not a list of objects; the layout is that of SQuAD")
    return ((f"{at}.{number}", item) for number, item in enumerate(found))


def _question(place: str, question: dict[str, Any], context: Any) -> dict[str, Any]:
    texts = {"context": context, "question": question.get("question"), "id": question.get("id")}
    if bad := [name for name, text in texts.items() if not _is_text(text)]:
        raise InputError(f"{place} has no text as its {bad[0]}")
    answers = question.get("answers") or []
    if not isinstance(answers, list):
        raise InputError(f"{place}.answers is not a list")
    if not answers and question.get("is_impossible") is not True:
        raise InputError(f"{place} has no answers, nor is_impossible: true")
    found: dict[str, list[Any]] = {"text": [], "answer_start": []}
    for answer in answers if question.get("is_impossible") is not True else []:
        text, start = (answer.get(name) for name in found) if isinstance(answer, dict) else (None, None)
        if not (_is_text(text) and type(start) is int and start >= 0 and context.startswith(text, start)):
            raise InputError(
                f"{place} has the answer {str(text)[:80]!r} at {str(start)[:80]}, where the context has not"
            )
        found["text"].append(text)
        found["answer_start"].append(start)
    return {**texts, "answers": found}


def _is_text(value: Any) -> bool:
    """Not blank, and without half a character, which JSON can escape and UTF-8 cannot hold."""
    return isinstance(value, str) and value.strip() != "" and not re.search("[\ud800-\udfff]", value)


def _text(path: Path, labels: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    return ({"text": line} for _, line in _lines(path) if line.strip())


def _lexical(path: Path, labels: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    for place, line in _lines(path):
        if line:
            first, second = _fields(place, line, ["word", "word"], {})
            yield {"source": first, "target": second}


READERS: dict[str, Callable[[Path, Mapping[str, int]], Iterator[dict[str, Any]]]] = {
    "tagging": _tagging,
    "pair": _pair,
    "choice": _choice,
    "qa": _questions,
    "text": _text,
    "lexical": _lexical,
}

__all__ = ["pairs", "read"]
