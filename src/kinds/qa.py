"""Extractive question answering (SQuAD, XQuAD, ...): the span of the context that answers the question."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from common.errors import InputError
from training.encoded import Encoded

SUFFIX = "json"


class Kind:
    """options: max_length, doc_stride, max_query_length, max_answer_length (tokens), n_best, unanswerable (default no).

    A context that does not fit becomes several windows, `doc_stride` tokens apart. An answer is cut out of the context
    by character offsets: no detokenisation, hence no loss in languages without spaces.
    """

    def __init__(self, options: dict[str, Any], tokenizer: PreTrainedTokenizerFast):
        self.max_length: int = options["max_length"]
        self.doc_stride: int = options["doc_stride"]
        self.max_query_length: int = options["max_query_length"]
        self.max_answer_length: int = options["max_answer_length"]
        self.n_best: int = options["n_best"]
        self.unanswerable: bool = options.get("unanswerable", False)
        self.tokenizer = tokenizer
        room = self.max_length - self.max_query_length - tokenizer.num_special_tokens_to_add(pair=True)
        if not 0 < self.doc_stride <= room:
            raise InputError(
                f"params.yaml: kinds.qa.doc_stride is {self.doc_stride}; with max_length {self.max_length} and "
                f"max_query_length {self.max_query_length} it must be from 1 to {room}, or windows would skip text"
            )

    def encode(self, table: pa.Table, gold: bool) -> Encoded:
        """One row for each window. A window without the answer points at `<s>`, as SQuAD's baseline does."""
        questions, contexts = self._cut(table["question"].to_pylist()), table["context"].to_pylist()
        of_length: dict[int, list[int]] = {}
        for row, ids in enumerate(self.tokenizer(questions, add_special_tokens=False)["input_ids"]):
            of_length.setdefault(len(ids), []).append(row)
        windows: list[tuple[int, list[int], list[tuple[int, int]]]] = []
        for length, rows_of_length in of_length.items():
            room = self.max_length - self.tokenizer.num_special_tokens_to_add(pair=True) - length
            tokens = self.tokenizer(
                [questions[row] for row in rows_of_length],
                [contexts[row] for row in rows_of_length],
                truncation="only_second",
                max_length=self.max_length,
                stride=max(0, room - self.doc_stride),  # here the overlap of two windows, not their distance
                return_overflowing_tokens=True,
                return_offsets_mapping=True,
            )
            for i, sample in enumerate(tokens["overflow_to_sample_mapping"]):
                parts = zip(tokens["offset_mapping"][i], tokens.sequence_ids(i), strict=True)
                # Characters of the context; (-1, -1) for the question and the special tokens.
                places = [pair if part == 1 else (-1, -1) for pair, part in parts]
                windows.append((rows_of_length[sample], tokens["input_ids"][i], places))
        windows.sort(key=lambda window: window[0])
        rows = [row for row, _, _ in windows]
        inputs = [ids for _, ids, _ in windows]
        offsets = [pairs for _, _, pairs in windows]
        features: dict[str, list[Any]] = {"input_ids": inputs, "attention_mask": [[1] * len(ids) for ids in inputs]}
        if gold:
            answers = table["answers"].to_pylist()
            spans = [self._span(offsets[i], answers[row]) for i, row in enumerate(rows)]
            features["start"], features["end"] = [s for s, _ in spans], [e for _, e in spans]
        return Encoded(features, rows, np.ones(len(rows), np.int64), {"offsets": offsets})

    def _cut(self, questions: list[str]) -> list[str]:
        """Questions of at most max_query_length tokens, leading space stripped."""
        questions = [question.lstrip() for question in questions]
        found = self.tokenizer(questions, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        limit = self.max_query_length
        return [q[: o[limit - 1][1]] if len(o) > limit else q for q, o in zip(questions, found, strict=True)]

    @staticmethod
    def _span(offsets: list[tuple[int, int]], answer: dict[str, list[Any]]) -> tuple[int, int]:
        """First and last token of the first answer, or (0, 0) where the window lacks it."""
        if not answer["text"]:
            return 0, 0
        begin = answer["answer_start"][0]
        end = begin + len(answer["text"][0])
        inside = [i for i, (a, b) in enumerate(offsets) if b > a and a < end and b > begin]
        if not inside or offsets[inside[0]][0] > begin or offsets[inside[-1]][1] < end:
            return 0, 0
        return inside[0], inside[-1]

    def head(self, encoder: PreTrainedModel, dropout: float) -> nn.Module:
        return nn.Linear(encoder.config.hidden_size, 2)

    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean of the cross entropies of first and last token over the window's tokens, summed over rows."""
        hidden = logits.masked_fill(batch["attention_mask"].unsqueeze(-1) == 0, torch.finfo(logits.dtype).min)
        first, last = hidden.unbind(-1)
        entropy = nn.functional.cross_entropy
        return (entropy(first, batch["start"], reduction="sum") + entropy(last, batch["end"], reduction="sum")) / 2

    def decode(self, logits: list[np.ndarray], encoded: Encoded, table: pa.Table) -> list[str]:
        """The text of the best span of every question over all its windows.

        An answer is always given, save in a task with unanswerable questions: there it is empty where `<s>` scores
        higher, in the window where it scores least (run_squad.py of BERT, threshold 0).
        """
        contexts = table["context"].to_pylist()
        best: list[tuple[float, str]] = [(-np.inf, "")] * len(table)
        none = np.full(len(table), np.inf if self.unanswerable else -np.inf)
        for row, values, offsets in zip(encoded.rows, logits, encoded.extra["offsets"], strict=True):
            score, begin, end = self._best_span(values, np.array(offsets))
            none[row] = min(none[row], float(values[0].sum()))
            if score > best[row][0]:
                best[row] = (score, contexts[row][begin:end])
        return [text.strip() if score >= least else "" for (score, text), least in zip(best, none, strict=True)]

    def _best_span(self, logits: np.ndarray, offsets: np.ndarray) -> tuple[float, int, int]:
        """Score and characters of the best of the n_best x n_best spans of context tokens."""
        allowed = offsets[:, 1] > offsets[:, 0]
        if not allowed.any():
            return -np.inf, 0, 0
        first, last = np.where(allowed[:, None], logits, -np.inf).T
        starts = np.argsort(-first, kind="stable")[: self.n_best]
        ends = np.argsort(-last, kind="stable")[: self.n_best]
        scores = first[starts][:, None] + last[ends][None, :]
        length = ends[None, :] - starts[:, None] + 1
        scores[(length < 1) | (length > self.max_answer_length)] = -np.inf
        i, j = np.unravel_index(scores.argmax(), scores.shape)
        return float(scores[i, j]), int(offsets[starts[i], 0]), int(offsets[ends[j], 1])

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
