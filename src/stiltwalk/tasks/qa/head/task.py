"""Extractive question answering (SQuAD, XQuAD, ...): the span of the context that answers the question."""

import itertools
import json
import operator
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from transformers import PreTrainedModel

from stiltwalk.tasks.base_head import TaskHead, TrainedTask, percent_correct
from stiltwalk.tasks.qa.head.normalisation import squad_words
from stiltwalk.training.batching import TokenizedRows


class Head(TaskHead):
    """A linear layer with two outputs: the scores of a token as the first and as the last of the answer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, 2)

    def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Hidden states (windows x tokens x width) to logits (windows x tokens x 2)."""
        return self.out(hidden)


class Span(NamedTuple):
    """A scored answer, as characters of the context."""

    score: float
    begin: int
    end: int


NO_SPAN = Span(-np.inf, 0, 0)


class Task(TrainedTask[str]):
    """A prediction is the text of an answer.

    options: max_answer_length, in tokens; n_best; and unanswerable, whether some questions have no answer (default
    false).

    An answer is cut out of the context by character offsets. Joining subwords to words again would lose characters in
    languages that are written without spaces.
    """

    suffix = "json"

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.max_answer_length: int = options["max_answer_length"]
        self.n_best: int = options["n_best"]
        self.unanswerable: bool = options.get("unanswerable", False)

    def make_head(self, encoder: PreTrainedModel, dropout: float) -> TaskHead:
        """Return a head without dropout, as in SQuAD's baselines."""
        return Head(encoder.config.hidden_size)

    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the mean cross entropy of first and last token, over the tokens of a window, summed over windows."""
        padding = batch["attention_mask"].unsqueeze(-1) == 0
        first, last = logits.masked_fill(padding, torch.finfo(logits.dtype).min).unbind(-1)
        entropy = nn.functional.cross_entropy
        return (entropy(first, batch["start"], reduction="sum") + entropy(last, batch["end"], reduction="sum")) / 2

    def decode(self, logits: list[np.ndarray], rows: TokenizedRows, table: pa.Table) -> list[str]:
        """Return the text of the best span of every question, over all its windows.

        A span may begin in a window only at a token that has its widest context there. In a task with unanswerable
        questions the answer is empty if `<s>` scores higher than the best span; the score of `<s>` is its lowest over
        the windows (run_squad.py of BERT, threshold 0). In any other task it is empty only if none of the n_best x
        n_best spans is possible.
        """
        contexts = table["context"].to_pylist()
        best = [NO_SPAN] * len(table)
        null_scores = np.full(len(table), np.inf if self.unanswerable else -np.inf)
        offsets = [np.stack(pair, 1) for pair in zip(rows.lists("begins"), rows.lists("ends"), strict=True)]
        numbers = rows.table_rows.tolist()
        widest = widest_context(numbers, offsets)
        for row, values, places, may_begin in zip(numbers, logits, offsets, widest, strict=True):
            null_scores[row] = min(null_scores[row], float(values[0].sum()))
            span = self._best_span(values, places, may_begin)
            if span.score > best[row].score:
                best[row] = span
        return [
            context[span.begin : span.end].strip() if span.score >= null_score else ""
            for context, span, null_score in zip(contexts, best, null_scores, strict=True)
        ]

    def _best_span(self, logits: np.ndarray, offsets: np.ndarray, may_begin: np.ndarray) -> Span:
        """Return the best of n_best x n_best spans of context tokens.

        logits: tokens x 2. offsets: begin and end characters (tokens x 2). may_begin: at which tokens a span may begin.
        """
        if not may_begin.any():
            return NO_SPAN
        first = np.where(may_begin, logits[:, 0], -np.inf)
        last = np.where(of_context(offsets), logits[:, 1], -np.inf)
        starts = np.argsort(-first, kind="stable")[: self.n_best]
        ends = np.argsort(-last, kind="stable")[: self.n_best]
        scores = first[starts][:, None] + last[ends][None, :]
        length = ends[None, :] - starts[:, None] + 1
        scores[(length < 1) | (length > self.max_answer_length)] = -np.inf
        i, j = np.unravel_index(scores.argmax(), scores.shape)
        if scores[i, j] == -np.inf:
            return NO_SPAN
        return Span(float(scores[i, j]), int(offsets[starts[i], 0]), int(offsets[ends[j], 1]))

    def majority_baseline(self, table: pa.Table) -> list[str]:
        """Return an empty answer to every question."""
        return [""] * len(table)

    def evaluate(self, predictions: list[str], table: pa.Table) -> dict[str, float]:
        """Return SQuAD's exact match: the share of predictions that equal a gold answer once both are normalised.

        A question without gold answers has the empty answer as its only right one.
        """
        correct = [
            squad_words(prediction) in ([squad_words(text) for text in answers["text"]] or [[]])
            for prediction, answers in zip(predictions, table["answers"].to_pylist(), strict=True)
        ]
        return {"exact": percent_correct(correct)}

    def write_predictions(self, predictions: list[str], table: pa.Table, path: Path) -> None:
        """Write `{question id: answer}`, as in XTREME's QA submissions."""
        answers = dict(zip(table["id"].to_pylist(), predictions, strict=True))
        path.write_text(json.dumps(answers, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def of_context(offsets: np.ndarray) -> np.ndarray:
    """Return which tokens of a window belong to the context. offsets: begin and end characters (tokens x 2)."""
    return offsets[:, 1] > offsets[:, 0]


def widest_context(rows: Sequence[int], offsets: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield, for every window, which of its context tokens have no wider context in another window of the same row.

    rows: the row of the data that each window belongs to; the windows of a row are consecutive.

    The width of a token's context is the smaller of the numbers of context tokens before and after it, plus a hundredth
    of the window's context tokens. Of equally wide windows the first counts (token_is_max_context in
    compute_predictions_logits of transformers, which XTREME's run_squad.py calls).
    """
    for _, group in itertools.groupby(zip(rows, offsets, strict=True), operator.itemgetter(0)):
        windows = [places for _, places in group]
        inside = [of_context(places) for places in windows]
        if len(windows) == 1:
            yield inside[0]
            continue
        counts = [int(mask.sum()) for mask in inside]
        tokens = np.concatenate([places[mask] for places, mask in zip(windows, inside, strict=True)])
        width = np.concatenate([np.minimum(np.arange(n), np.arange(n)[::-1]) + 0.01 * n for n in counts])
        window = np.repeat(np.arange(len(windows)), counts)
        # Several tokens may cover the same character, such as the degree sign of Celsius: all belong to one window.
        places, place = np.unique(tokens, axis=0, return_inverse=True)
        order = np.lexsort((window, -width, place))
        owner = window[order[np.searchsorted(place[order], np.arange(len(places)))]]
        owned = window == owner[place]
        for mask, kept in zip(inside, np.split(owned, np.cumsum(counts)[:-1]), strict=True):
            widest = mask.copy()
            widest[mask] = kept
            yield widest
