"""Label and prediction files in XTREME's layout, read side by side and checked against each other.

Every reader takes (label file, prediction file) and returns (gold, predicted) for a metric. XTREME's evaluate.py
scores a missing answer as zero; here whatever is missing, extra or unreadable is an InputError with its place.
"""

import json
import re
from pathlib import Path
from typing import Any

from stiltwalk.utils.errors import InputError


def read_lines(labels: Path, predictions: Path) -> tuple[list[str], list[str]]:
    """One label a line; in tagging files a blank line ends a sentence and is kept as "".

    Both lists have the same length and are blank at the same places.
    """
    gold, predicted = _lines(labels), _lines(predictions)
    _check_not_empty(gold, labels)
    for number, (wanted, found) in enumerate(zip(gold, predicted, strict=False), start=1):
        if bool(wanted) != bool(found):
            raise InputError(
                f"{predictions} line {number} is {_quoted(found)} where {labels} has {_quoted(wanted)}; "
                "predict every line and no other (a blank line ends a sentence)"
            )
    if len(gold) != len(predicted):
        raise InputError(
            f"{predictions} ends at line {len(predicted)}, {labels} at line {len(gold)}; "
            "predict every line and no other"
        )
    return gold, predicted


def read_pairs(labels: Path, predictions: Path) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Mined sentence pairs, `id<TAB>id` a line, as sets; any number of them may be predicted."""
    gold = _pairs(labels)
    _check_not_empty(gold, labels)
    return gold, _pairs(predictions)


def read_answers(labels: Path, predictions: Path) -> tuple[list[list[str]], list[str]]:
    """Questions in SQuAD's layout and answers as {id: text}: all right answers, and the one given, a question."""
    questions = _questions(labels)
    _check_not_empty(questions, labels)
    answers = _json(predictions)
    if not isinstance(answers, dict):
        raise InputError(f"{predictions} is not one JSON object of question id and answer")
    wanted = dict(questions)
    if missing := [key for key in wanted if key not in answers]:
        raise InputError(
            f"{predictions} has no answer to question {_quoted(missing[0])} ({len(missing)} missing in all)"
        )
    if extra := [key for key in answers if key not in wanted]:
        raise InputError(f"{predictions} answers question {_quoted(extra[0])}, which {labels} does not have")
    for key, answer in answers.items():
        if not isinstance(answer, str):
            raise InputError(
                f"{predictions} answers question {_quoted(key)} with {json.dumps(answer)[:80]}, not with a string"
            )
    return [texts for _, texts in questions], [answers[key] for key, _ in questions]


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} is missing; every language needs its label file and its prediction file") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path} line {line} is not UTF-8; save the file in that encoding") from None


def _lines(path: Path) -> list[str]:
    # Not str.splitlines: that also splits at characters which are no line end in a text file (U+0085, U+2028).
    lines = [line.strip() for line in re.split(r"\r\n|\r|\n", _text(path))]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _pairs(path: Path) -> set[tuple[str, str]]:
    pairs = set()
    for number, line in enumerate(_lines(path), start=1):
        source, tab, target = line.partition("\t")
        if not tab or "\t" in target:
            raise InputError(f"{path} line {number} is {_quoted(line)}, not two sentence ids with a tab between them")
        pairs.add((source, target))
    return pairs


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}") from None


def _object(items: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in items:
        if key in made:
            raise ValueError(f"key {_quoted(key)} is there twice")
        made[key] = value
    return made


def _questions(path: Path) -> list[tuple[str, list[str]]]:
    tree = _json(path)
    try:
        questions = [
            (question["id"], [answer["text"] for answer in question["answers"]])
            for article in (tree["data"] if isinstance(tree, dict) else tree)
            for paragraph in article["paragraphs"]
            for question in paragraph["qas"]
        ]
    except (KeyError, TypeError):
        raise InputError(f"{path} is not in SQuAD's layout: data, paragraphs, qas with id and answers") from None
    seen: set[str] = set()
    for key, texts in questions:
        if not all(isinstance(text, str) for text in (key, *texts)):
            raise InputError(f"{path} has question {str(key)[:80]!r} with an id or an answer that is not a string")
        if not texts:
            raise InputError(f"{path} has no right answer for question {_quoted(key)}")
        if key in seen:
            raise InputError(f"{path} has question {_quoted(key)} twice")
        seen.add(key)
    return questions


def _check_not_empty(items: Any, labels: Path) -> None:
    if not items:
        raise InputError(f"{labels} is empty; make the labels again")


def _quoted(line: str) -> str:
    return repr(line[:80]) if line else "blank"
