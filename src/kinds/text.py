"""Masked language modelling on running text, with the encoder's own word embeddings as the output layer."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from training.encoded import IGNORED, Encoded

SUFFIX = "txt"


class Head(nn.Module):
    """RoBERTa's: dense, GELU, layer norm, and the word embeddings (shared, not copied) as the output layer.

    In training it gives logits over the vocabulary. Else it gives the most probable word's number alone: all logits of
    a validation set would not fit into memory with XLM-R's 250,002 words.
    """

    def __init__(self, embeddings: nn.Embedding, epsilon: float):
        super().__init__()
        words, width = embeddings.weight.shape
        self.dense = nn.Linear(width, width)
        self.layer_norm = nn.LayerNorm(width, eps=epsilon)
        self.bias = nn.Parameter(torch.zeros(words))
        self.shared = [embeddings]  # in a list: no module of the head's own, so the encoder alone saves and trains it

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states (... x width) -> logits (... x words) or numbers of words (... x 1)."""
        states = self.layer_norm(nn.functional.gelu(self.dense(hidden)))
        weight = self.shared[0].weight
        if self.training:
            return nn.functional.linear(states, weight, self.bias)
        rows = [nn.functional.linear(row, weight, self.bias).argmax(-1, keepdim=True) for row in states]
        return torch.stack(rows).float()


class Kind:
    """options: max_length (tokens; a longer text is cut), mask (share of the tokens to guess).

    Of the tokens to guess 80 % are masked, 10 % replaced by a random word, 10 % left (BERT, section 3.1). They are
    chosen once for every row.
    """

    def __init__(self, options: dict[str, Any], tokenizer: PreTrainedTokenizerFast):
        self.max_length: int = options["max_length"]
        self.mask: float = options["mask"]
        self.tokenizer = tokenizer

    def encode(self, table: pa.Table, gold: bool) -> Encoded:
        """One row for each text."""
        rng = np.random.default_rng(len(table))
        found = self.tokenizer(table["text"].to_pylist(), truncation=True, max_length=self.max_length)["input_ids"]
        words = np.setdiff1d(np.arange(len(self.tokenizer)), self.tokenizer.all_special_ids)
        features: dict[str, list[Any]] = {name: [] for name in ("input_ids", "attention_mask", "labels", "picked")}
        for row in found:
            ids = np.array(row)
            free = np.flatnonzero(~np.isin(ids, self.tokenizer.all_special_ids))
            chosen = rng.permutation(free)[: max(1, round(self.mask * len(free)))]
            how = rng.random(len(chosen))
            labels = np.full(len(ids), IGNORED)
            labels[chosen] = ids[chosen]
            ids[chosen[how < 0.8]] = self.tokenizer.mask_token_id
            changed = chosen[how >= 0.9]
            ids[changed] = rng.choice(words, len(changed))
            features["input_ids"].append(ids.tolist())
            features["attention_mask"].append([1] * len(ids))
            features["labels"].append(labels.tolist())
            features["picked"].append((labels != IGNORED).astype(int).tolist())
        weights = np.array([sum(picked) for picked in features["picked"]], np.int64)
        return Encoded(features, list(range(len(table))), weights)

    def head(self, encoder: PreTrainedModel, dropout: float) -> nn.Module:
        embeddings = encoder.get_input_embeddings()
        assert isinstance(embeddings, nn.Embedding)
        return Head(embeddings, encoder.config.layer_norm_eps)

    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Cross entropy of the picked tokens (picked x words), summed over them."""
        return nn.functional.cross_entropy(logits, batch["labels"][batch["picked"].bool()], reduction="sum")

    def decode(self, logits: list[np.ndarray], encoded: Encoded, table: pa.Table) -> list[list[tuple[int, int]]]:
        """The most probable and the true word of every picked token."""
        return [
            [(int(word), label) for word, label in zip(values[:, 0], labels, strict=True) if label != IGNORED]
            for values, labels in zip(logits, encoded.features["labels"], strict=True)
        ]

    def evaluate(self, predictions: list[list[tuple[int, int]]], table: pa.Table) -> dict[str, float]:
        right = [word == label for row in predictions for word, label in row]
        return {"accuracy": round(100 * float(np.mean(right)), 4)}

    def write(self, predictions: list[list[tuple[int, int]]], table: pa.Table, path: Path) -> None:
        """The guessed words' numbers, a line a text."""
        path.write_text("".join(" ".join(str(word) for word, _ in row) + "\n" for row in predictions), encoding="utf-8")
