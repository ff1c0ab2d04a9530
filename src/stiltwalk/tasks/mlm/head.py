"""Masked language modelling on running text, with the encoder's own word embeddings as the output layer."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from transformers import PreTrainedModel

from stiltwalk.tasks.tables import IGNORED
from stiltwalk.training.batching import Encoded

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
        """Hidden states (tokens x width) -> logits (tokens x words) or numbers of words (tokens x 1)."""
        states = self.layer_norm(nn.functional.gelu(self.dense(hidden)))
        weight = self.shared[0].weight
        if self.training:
            return nn.functional.linear(states, weight, self.bias)
        parts = [nn.functional.linear(part, weight, self.bias).argmax(-1, keepdim=True) for part in states.split(256)]
        return torch.cat(parts).float()


class Kind:
    """options: those of encoding/text.py, where the tokens to guess are chosen."""

    def __init__(self, options: dict[str, Any]):
        self.options = options

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
            [(int(word), int(label)) for word, label in zip(values[:, 0], labels[labels != IGNORED], strict=True)]
            for values, labels in zip(logits, encoded.lists("labels"), strict=True)
        ]

    def guess(self, table: pa.Table) -> list[Any] | None:
        """None: no guess is as good as any."""
        return None

    def evaluate(self, predictions: list[list[tuple[int, int]]], table: pa.Table) -> dict[str, float]:
        right = [word == label for row in predictions for word, label in row]
        return {"accuracy": round(100 * float(np.mean(right)), 4)}

    def write(self, predictions: list[list[tuple[int, int]]], table: pa.Table, path: Path) -> None:
        """The guessed words' numbers, a line a text."""
        path.write_text("".join(" ".join(str(word) for word, _ in row) + "\n" for row in predictions), encoding="utf-8")
