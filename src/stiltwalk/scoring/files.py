"""Label and prediction files in XTREME's layout, checked against each other.

Every reader takes (label file, prediction file) and returns (gold, predicted) for a metric. XTREME's evaluate.py
scores a missing answer as zero. Here anything missing, extra or unreadable is an InputError that names its place.
"""

import json
import re
from collections.abc import Sized
from pathlib import Path
from typing import Any

from stiltwalk.utils.errors import InputError


def read_lines(labels: Path, predictions: Path) -> tuple[list[str], list[str]]:
    """Read files with one label per line. A blank line ends a sentence in tagging files and is returned as "".

    Both lists have the same length and the same blank lines.
    """
    gold, predicted = read_text_lines(labels), read_text_lines(predictions)
    _check_not_empty(gold, labels)
    for number, (gold_line, line) in enumerate(zip(gold, predicted, strict=False), start=1):
        if bool(gold_line) != bool(line):
            raise InputError(
                f"{predictions} line {number} is {_quote(line)} where {labels} has {_quote(gold_line)}; "
                "write exactly one prediction for every label (a blank line ends a sentence)"
            )
    if len(gold) != len(predicted):
        raise InputError(
            f"{predictions} ends at line {len(predicted)}, {labels} at line {len(gold)}; "
            "write exactly one prediction for every label"
        )
    return gold, predicted


def read_pairs(labels: Path, predictions: Path) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Read files of mined sentence pairs, one `id<TAB>id` per line. There may be any number of predictions."""
    gold = _read_pair_lines(labels)
    _check_not_empty(gold, labels)
    return gold, _read_pair_lines(predictions)


def read_answers(labels: Path, predictions: Path) -> tuple[list[list[str]], list[str]]:
    """Read questions in SQuAD's layout, and predicted answers as a JSON object {question id: text}.

    Returns all gold answers of each question, and one predicted answer per question.
    """
    questions = _read_questions(labels)
    _check_not_empty(questions, labels)
    answers = _read_json(predictions)
    if not isinstance(answers, dict):
        raise InputError(f"{predictions} is not a JSON object; write it as {{question id: answer}}")
    if missing := [question for question in questions if question not in answers]:
        raise InputError(
            f"{predictions} has no answer to question {_quote(missing[0])} ({len(missing)} missing in total); add it"
        )
    if extra := [question for question in answers if question not in questions]:
        raise InputError(f"{predictions} answers question {_quote(extra[0])}, which {labels} does not have; remove it")
    for question, answer in answers.items():
        if not isinstance(answer, str):
            raise InputError(
                f"{predictions} answers question {_quote(question)} with {json.dumps(answer)[:80]}; it must be a string"
            )
    return list(questions.values()), [answers[question] for question in questions]


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} is missing; every language needs a label file and a prediction file") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path} line {line} is not UTF-8; save the file as UTF-8") from None


def read_text_lines(path: Path) -> list[str]:
    """Return the lines of a file without blanks around them, and without blank lines at the end."""
    # str.splitlines would also split at characters that do not end a line in a text file (U+0085, U+2028).
    lines = [line.strip() for line in re.split(r"\r\n|\r|\n", _read_text(path))]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _read_pair_lines(path: Path) -> set[tuple[str, str]]:
    pairs = set()
    for number, line in enumerate(read_text_lines(path), start=1):
        source, tab, target = line.partition("\t")
        if not tab or "\t" in target:
            raise InputError(f"{path} line {number} is {_quote(line)}; it must be two sentence ids separated by a tab")
        pairs.add((source, target))
    return pairs


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read_text(path), object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}") from None


def _unique_keys(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object. Raises ValueError for a repeated key, which `json` would silently overwrite."""
    result: dict[str, Any] = {}
    for key, value in items:
        if key in result:
            raise ValueError(f"key {_quote(key)} appears twice")
        result[key] = value
    return result


def _read_questions(path: Path) -> dict[str, list[str]]:
    """Return the gold answers of each question id, in the order of the file."""
    tree = _read_json(path)
    try:
        items = [
            (question["id"], [answer["text"] for answer in question["answers"]])
            for article in (tree["data"] if isinstance(tree, dict) else tree)
            for paragraph in article["paragraphs"]
            for question in paragraph["qas"]
        ]
    except (KeyError, TypeError):
        raise InputError(f"{path} is not in SQuAD's layout: data, paragraphs, qas with id and answers") from None
    questions: dict[str, list[str]] = {}
    for key, texts in items:
        if not all(isinstance(text, str) for text in (key, *texts)):
            raise InputError(f"{path} has question {str(key)[:80]!r} with an id or an answer that is not a string")
        if not texts:
            raise InputError(f"{path} has no gold answer for question {_quote(key)}")
        if key in questions:
            raise InputError(f"{path} has question {_quote(key)} twice")
        questions[key] = texts
    return questions


def _check_not_empty(items: Sized, labels: Path) -> None:
    if not items:
        raise InputError(f"{labels} has no labels; create the label files again")


def _quote(line: str) -> str:
    return repr(line[:80]) if line else "blank"
