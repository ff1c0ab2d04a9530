"""Extractive question answering: windows of the context, each behind the question."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from tokenizers import Encoding

from stiltwalk.tasks.base_data.row_tokenizer import Features, RowTokenizer
from stiltwalk.utils.errors import InputError


@dataclass(slots=True)
class Window:
    """A question and a part of its context."""

    row: int
    ids: list[int]
    begins: list[int]
    """Character of the context at which each token begins; -1 for tokens outside the context."""
    ends: list[int]
    """Character of the context after each token; -1 for tokens outside the context."""


class Tokenizer(RowTokenizer):
    """Cuts long contexts into overlapping windows.

    options: max_length, doc_stride and max_query_length, all in tokens. Windows begin `doc_stride` tokens apart.
    """

    def tokenize(self, table: pa.Table, gold: bool) -> Features:
        """Return one row per window: `input_ids`, `begins`, `ends`, and with gold `start` and `end`.

        begins, ends: every token's characters in the context, -1 for the question and the special tokens.
        start, end: first and last token of the answer. A window without the answer points at `<s>`, as in SQuAD's
        baseline.

        Raises InputError if windows `doc_stride` tokens apart would skip text, and if a question has no answer although
        the option `unanswerable` is not set.
        """
        self._check_stride()
        windows = self._windows(table["question"].to_pylist(), table["context"].to_pylist())
        features: Features = {
            "row": [window.row for window in windows],
            "input_ids": [window.ids for window in windows],
            "begins": [window.begins for window in windows],
            "ends": [window.ends for window in windows],
        }
        if gold:
            answers = table["answers"].to_pylist()
            self._check_answers(table["id"].to_pylist(), answers)
            spans = [answer_span(window, answers[window.row]) for window in windows]
            found = {window.row for window, (_, end) in zip(windows, spans, strict=True) if end}
            self.lost["answers that no window holds"] += sum(
                bool(answer["text"]) and row not in found for row, answer in enumerate(answers)
            )
            features["start"] = [start for start, _ in spans]
            features["end"] = [end for _, end in spans]
        return features

    def _check_answers(self, ids: list[str], answers: list[dict[str, list[Any]]]) -> None:
        without = [name for name, answer in zip(ids, answers, strict=True) if not answer["text"]]
        if without and not self.options.get("unanswerable"):
            raise InputError(
                f"{len(without):,} questions have no answer, the first of them {without[0][:80]!r}; set "
                "options.unanswerable: true in the task's record, or leave them out, for no prediction could be right"
            )

    def _check_stride(self) -> None:
        stride, longest_question = self.options["doc_stride"], self.options["max_query_length"]
        room = self.max_length - longest_question - self.subwords.added_tokens(pair=True)
        if not 0 < stride <= room:
            raise InputError(
                f"params.yaml: kinds.qa.doc_stride is {stride}; with max_length {self.max_length} and "
                f"max_query_length {longest_question} it must be from 1 to {room}, or windows would skip text"
            )

    def _windows(self, questions: list[str], contexts: list[str]) -> list[Window]:
        """Return the windows of all rows, in the order of the rows.

        The library takes one overlap per call, and the overlap depends on the length of the question. Therefore
        questions of the same length are tokenised together.
        """
        questions = self._truncate(questions)
        rows_by_length: dict[int, list[int]] = {}
        for row, ids in enumerate(self.subwords.ids(questions, special_tokens=False)):
            rows_by_length.setdefault(len(ids), []).append(row)
        room = self.max_length - self.subwords.added_tokens(pair=True)
        windows: list[Window] = []
        for length, rows in rows_by_length.items():
            overlap = max(0, room - length - self.options["doc_stride"])
            pairs = [(questions[row], contexts[row]) for row in rows]
            encodings = self.subwords.encode(pairs, self.max_length, "only_second", stride=overlap)
            for row, encoding in zip(rows, encodings, strict=True):
                windows += _windows_of(row, encoding)
        return sorted(windows, key=lambda window: window.row)

    def _truncate(self, questions: list[str]) -> list[str]:
        """Return questions of `max_query_length` tokens at most, without leading space."""
        questions = [question.lstrip() for question in questions]
        limit: int = self.options["max_query_length"]
        truncated = []
        for question, encoding in zip(questions, self.subwords.encode(questions, special_tokens=False), strict=True):
            offsets = encoding.offsets
            truncated.append(question[: offsets[limit - 1][1]] if len(offsets) > limit else question)
        return truncated


def answer_span(window: Window, answer: dict[str, list[Any]]) -> tuple[int, int]:
    """Return the first and last token of the first answer, or (0, 0) if the window lacks it.

    answer: `text`, the answers, and `answer_start`, the character of the context at which each one begins.
    """
    if not answer["text"]:
        return 0, 0
    begin = answer["answer_start"][0]
    end = begin + len(answer["text"][0])
    places = [(token, a, b) for token, (a, b) in enumerate(zip(window.begins, window.ends, strict=True)) if b > a]
    inside = [token for token, a, b in places if a < end and b > begin]
    if not inside or begin < min(a for _, a, _ in places) or end > max(b for _, _, b in places):
        return 0, 0
    return inside[0], inside[-1]


def _windows_of(row: int, encoding: Encoding) -> Iterator[Window]:
    """Yield the windows of one row. The question is sequence 0 of an encoding, the context sequence 1."""
    for part in (encoding, *encoding.overflowing):
        of_context = [sequence == 1 for sequence in part.sequence_ids]
        offsets = list(zip(part.offsets, of_context, strict=True))
        begins = [begin if inside else -1 for (begin, _), inside in offsets]
        ends = [end if inside else -1 for (_, end), inside in offsets]
        yield Window(row, part.ids, begins, ends)
