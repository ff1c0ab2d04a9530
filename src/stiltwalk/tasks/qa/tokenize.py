"""Extractive question answering: windows of the context, each behind the question."""

from typing import Any

import pyarrow as pa

from stiltwalk.tasks.base_tokenize import Tokens
from stiltwalk.utils.errors import InputError


def encode(table: pa.Table, gold: bool, options: dict[str, Any], tokens: Tokens) -> dict[str, list[Any]]:
    """options: max_length, doc_stride, max_query_length (tokens). One row for each window, `doc_stride` tokens apart.

    `begins` and `ends` are every token's characters in the context, -1 for the question and the special tokens. A
    window without the answer points at `<s>`, as SQuAD's baseline does.
    """
    longest, distance = options["max_length"], options["doc_stride"]
    room = longest - options["max_query_length"] - tokens.added(True)
    if not 0 < distance <= room:
        raise InputError(
            f"params.yaml: kinds.qa.doc_stride is {distance}; with max_length {longest} and "
            f"max_query_length {options['max_query_length']} it must be from 1 to {room}, or windows would skip text"
        )
    questions, contexts = _cut(table["question"].to_pylist(), options, tokens), table["context"].to_pylist()
    of_length: dict[int, list[int]] = {}
    for row, ids in enumerate(tokens.ids(questions, special=False)):
        of_length.setdefault(len(ids), []).append(row)
    windows: list[tuple[int, list[int], list[int], list[int]]] = []
    for length, rows in of_length.items():
        overlap = max(0, longest - tokens.added(True) - length - distance)
        pairs = [(questions[row], contexts[row]) for row in rows]
        for row, found in zip(rows, tokens.encode(pairs, longest, "only_second", stride=overlap), strict=True):
            for window in (found, *found.overflowing):
                inside = [place == 1 for place in window.sequence_ids]
                begins, ends = (
                    [pair[side] if mine else -1 for pair, mine in zip(window.offsets, inside, strict=True)]
                    for side in (0, 1)
                )
                windows.append((row, window.ids, begins, ends))
    windows.sort(key=lambda window: window[0])
    features: dict[str, list[Any]] = dict(
        zip(("row", "input_ids", "begins", "ends"), map(list, zip(*windows, strict=True)), strict=True)
    )
    if gold:
        answers = table["answers"].to_pylist()
        spans = [_span(begins, ends, answers[row]) for row, _, begins, ends in windows]
        features["start"], features["end"] = [s for s, _ in spans], [e for _, e in spans]
    return features


def _cut(questions: list[str], options: dict[str, Any], tokens: Tokens) -> list[str]:
    """Questions of at most max_query_length tokens, leading space stripped."""
    questions = [question.lstrip() for question in questions]
    limit, cut = options["max_query_length"], []
    for question, found in zip(questions, tokens.encode(questions, special=False), strict=True):
        offsets = found.offsets
        cut.append(question[: offsets[limit - 1][1]] if len(offsets) > limit else question)
    return cut


def _span(begins: list[int], ends: list[int], answer: dict[str, list[Any]]) -> tuple[int, int]:
    """First and last token of the first answer, or (0, 0) where the window lacks it."""
    if not answer["text"]:
        return 0, 0
    begin = answer["answer_start"][0]
    end = begin + len(answer["text"][0])
    inside = [i for i, (a, b) in enumerate(zip(begins, ends, strict=True)) if b > a and a < end and b > begin]
    if not inside or begins[inside[0]] > begin or ends[inside[-1]] < end:
        return 0, 0
    return inside[0], inside[-1]
