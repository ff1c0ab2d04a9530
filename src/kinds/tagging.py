"""Token tagging (UDPOS, PAN-X, CCG): one label a word, from the hidden state of its first sub-token."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from training.encoded import IGNORED, Encoded

SUFFIX = "tsv"


class Kind:
    """options: labels (names), max_length (tokens of one row, special ones included).

    As in XTREME (third_party/utils_tag.py) every word is tokenised alone, a word without any sub-token stands as
    `<unk>`, and the label lies on a word's first sub-token. A sentence that does not fit is split into several rows
    and joined again when decoded: no word is left out. A gold tag that is none of the labels (a category that is not in
    the training rows) is not learnt from, and counts as missed.
    """

    def __init__(self, options: dict[str, Any], tokenizer: PreTrainedTokenizerFast):
        self.labels: list[str] = options["labels"]
        self.numbers = {label: number for number, label in enumerate(self.labels)}
        self.max_length: int = options["max_length"]
        self.tokenizer = tokenizer

    def encode(self, table: pa.Table, gold: bool) -> Encoded:
        """One row for each sentence, or for each part of a long one."""
        sentences = table["tokens"].to_pylist()
        tags = table["tags"].to_pylist() if gold else [[None] * len(words) for words in sentences]
        pieces = self._pieces(sentences)
        room = self.max_length - 2
        start, end = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        features: dict[str, list[Any]] = {"input_ids": [], "attention_mask": [], "labels": []}
        rows: list[int] = []
        firsts: list[list[int]] = []

        def flush(row: int, ids: list[int], labels: list[int], first: list[int]) -> None:
            features["input_ids"].append([start, *ids, end])
            features["attention_mask"].append([1] * (len(ids) + 2))
            features["labels"].append([IGNORED, *labels, IGNORED])
            rows.append(row)
            firsts.append(first)

        for row, (words, sentence_tags) in enumerate(zip(sentences, tags, strict=True)):
            ids: list[int] = []
            labels: list[int] = []
            first: list[int] = []
            for word, tag in zip(words, sentence_tags, strict=True):
                piece = pieces[word][:room]
                if len(ids) + len(piece) > room:
                    flush(row, ids, labels, first)
                    ids, labels, first = [], [], []
                first.append(len(ids) + 1)
                ids += piece
                labels += [self.numbers.get(tag, IGNORED)] + [IGNORED] * (len(piece) - 1)
            flush(row, ids, labels, first)
        weights = np.array([len(first) for first in firsts], np.int64)
        if not gold:
            del features["labels"]
        return Encoded(features, rows, weights, {"first": firsts})

    def _pieces(self, sentences: list[list[str]]) -> dict[str, list[int]]:
        """Every distinct word's sub-tokens; never none."""
        words = sorted({word for words in sentences for word in words})
        found = self.tokenizer(words, add_special_tokens=False)["input_ids"] if words else []
        return {word: ids or [self.tokenizer.unk_token_id] for word, ids in zip(words, found, strict=True)}

    def head(self, encoder: PreTrainedModel, dropout: float) -> nn.Module:
        return nn.Sequential(nn.Dropout(dropout), nn.Linear(encoder.config.hidden_size, len(self.labels)))

    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Cross entropy, summed over words."""
        return nn.functional.cross_entropy(
            logits.flatten(0, 1), batch["labels"].flatten(), reduction="sum", ignore_index=IGNORED
        )

    def decode(self, logits: list[np.ndarray], encoded: Encoded, table: pa.Table) -> list[list[str]]:
        """The most probable label of every word, the parts of a split sentence joined."""
        tags: list[list[str]] = [[] for _ in range(len(table))]
        for row, values, first in zip(encoded.rows, logits, encoded.extra["first"], strict=True):
            tags[row] += [self.labels[i] for i in values[first].argmax(-1)]
        return tags

    def evaluate(self, predictions: list[list[str]], table: pa.Table) -> dict[str, float]:
        """Micro F1 over words, the label `O` left out where there is one (then accuracy would flatter)."""
        pairs = [
            (p, g)
            for predicted, gold in zip(predictions, table["tags"].to_pylist(), strict=True)
            for p, g in zip(predicted, gold, strict=True)
        ]
        right = sum(p == g != "O" for p, g in pairs)
        marked = sum(p != "O" for p, _ in pairs) + sum(g != "O" for _, g in pairs)
        return {"f1": round(100 * 2 * right / max(1, marked), 4)}

    def write(self, predictions: list[list[str]], table: pa.Table, path: Path) -> None:
        """One label a line, an empty line after each sentence, as XTREME's UDPOS and PAN-X submissions."""
        path.write_text("\n".join("".join(f"{tag}\n" for tag in tags) for tags in predictions), encoding="utf-8")
