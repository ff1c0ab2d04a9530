"""Extractive question answering (SQuAD, XQuAD, ...): the span of the context that answers the question."""

import itertools
import json
import operator
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from transformers import PreTrainedModel

from stiltwalk.training.batching import Encoded

SUFFIX = "json"


class Kind:
    """options: max_answer_length (tokens), n_best, unanswerable (default no); the others are those of encoding/qa.py.

    An answer is cut out of the context by character offsets: no detokenisation, hence no loss in languages without
    spaces.
    """

    def __init__(self, options: dict[str, Any]):
        self.max_answer_length: int = options["max_answer_length"]
        self.n_best: int = options["n_best"]
        self.unanswerable: bool = options.get("unanswerable", False)

    def head(self, encoder: PreTrainedModel, dropout: float) -> nn.Module:
        return nn.Linear(encoder.config.hidden_size, 2)

    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean of the cross entropies of first and last token over the window's tokens, summed over rows."""
        hidden = logits.masked_fill(batch["attention_mask"].unsqueeze(-1) == 0, torch.finfo(logits.dtype).min)
        first, last = hidden.unbind(-1)
        entropy = nn.functional.cross_entropy
        return (entropy(first, batch["start"], reduction="sum") + entropy(last, batch["end"], reduction="sum")) / 2

    def decode(self, logits: list[np.ndarray], encoded: Encoded, table: pa.Table) -> list[str]:
        """The text of the best span of every question over all its windows, each begun where its context is widest.

        An answer is always given, save in a task with unanswerable questions: there it is empty where `<s>` scores
        higher, in the window where it scores least (run_squad.py of BERT, threshold 0).
        """
        contexts = table["context"].to_pylist()
        best: list[tuple[float, str]] = [(-np.inf, "")] * len(table)
        none = np.full(len(table), np.inf if self.unanswerable else -np.inf)
        offsets = [np.stack(pair, 1) for pair in zip(encoded.lists("begins"), encoded.lists("ends"), strict=True)]
        rows = encoded.rows.tolist()
        for row, values, places, central in zip(rows, logits, offsets, centres(rows, offsets), strict=True):
            score, begin, end = self._best_span(values, places, central)
            none[row] = min(none[row], float(values[0].sum()))
            if score > best[row][0]:
                best[row] = (score, contexts[row][begin:end])
        return [text.strip() if score >= least else "" for (score, text), least in zip(best, none, strict=True)]

    def _best_span(self, logits: np.ndarray, offsets: np.ndarray, central: np.ndarray) -> tuple[float, int, int]:
        """Score and characters of the best of n_best x n_best spans of context tokens that begin at central ones."""
        if not central.any():
            return -np.inf, 0, 0
        first = np.where(central, logits[:, 0], -np.inf)
        last = np.where(of_context(offsets), logits[:, 1], -np.inf)
        starts = np.argsort(-first, kind="stable")[: self.n_best]
        ends = np.argsort(-last, kind="stable")[: self.n_best]
        scores = first[starts][:, None] + last[ends][None, :]
        length = ends[None, :] - starts[:, None] + 1
        scores[(length < 1) | (length > self.max_answer_length)] = -np.inf
        i, j = np.unravel_index(scores.argmax(), scores.shape)
        return float(scores[i, j]), int(offsets[starts[i], 0]), int(offsets[ends[j], 1])

    def guess(self, table: pa.Table) -> list[str] | None:
        """No answer to any question: what takes no learning."""
        return [""] * len(table)

    def evaluate(self, predictions: list[str], table: pa.Table) -> dict[str, float]:
        """Share of predictions equal to one of the gold answers (empty where there are none), letter case aside."""
        right = [
            prediction.casefold() in ({text.casefold() for text in answers["text"]} or {""})
            for prediction, answers in zip(predictions, table["answers"].to_pylist(), strict=True)
        ]
        return {"exact": round(100 * float(np.mean(right)), 4)}

    def write(self, predictions: list[str], table: pa.Table, path: Path) -> None:
        """`{question id: answer}`, as XTREME's QA submissions."""
        answers = dict(zip(table["id"].to_pylist(), predictions, strict=True))
        path.write_text(json.dumps(answers, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def of_context(offsets: np.ndarray) -> np.ndarray:
    """Which tokens of a window (tokens x begin and end) are of the context."""
    return offsets[:, 1] > offsets[:, 0]


def centres(rows: Sequence[int], offsets: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """For every window which of its context tokens have no more context in another window of the same row.

    rows: of the data, of each window; those of a row follow each other. The context of a token is the smaller number of
    tokens before and after it, and a hundredth of the window's; of equal windows the first has the token
    (compute_predictions_logits of transformers, which XTREME's run_squad.py calls: token_is_max_context).
    """
    for _, group in itertools.groupby(zip(rows, offsets, strict=True), operator.itemgetter(0)):
        windows = [places for _, places in group]
        inside = [of_context(places) for places in windows]
        if len(windows) == 1:
            yield inside[0]
            continue
        counts = [int(mask.sum()) for mask in inside]
        tokens = np.concatenate([places[mask] for places, mask in zip(windows, inside, strict=True)])
        context = np.concatenate([np.minimum(np.arange(n), np.arange(n)[::-1]) + 0.01 * n for n in counts])
        window = np.repeat(np.arange(len(windows)), counts)
        # Several tokens may be of one character (the sign for degrees Celsius): a window has all of them.
        places, place = np.unique(tokens, axis=0, return_inverse=True)
        order = np.lexsort((window, -context, place))
        owner = window[order[np.searchsorted(place[order], np.arange(len(places)))]]
        central = window == owner[place]
        for mask, found in zip(inside, np.split(central, np.cumsum(counts)[:-1]), strict=True):
            whole = mask.copy()
            whole[mask] = found
            yield whole
