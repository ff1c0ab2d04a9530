"""Pair classification (MNLI, XNLI, ...): one label for two texts, from the first token's hidden state."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from transformers import PreTrainedModel

from stiltwalk.training.batching import Encoded
from stiltwalk.training.flags import commonest

SUFFIX = "tsv"


class Head(nn.Module):
    """The classification head of RoBERTa: dropout, dense, tanh, dropout, linear on `<s>`."""

    first = True  # it reads the first token alone

    def __init__(self, width: int, labels: int, dropout: float):
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.out = nn.Linear(width, labels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states (rows x tokens x width) -> logits (rows x labels)."""
        return self.out(self.dropout(torch.tanh(self.dense(self.dropout(hidden[:, 0])))))


class Kind:
    """options: labels (names); the others are those of encoding/pair.py."""

    def __init__(self, options: dict[str, Any]):
        self.labels: list[str] = options["labels"]

    def head(self, encoder: PreTrainedModel, dropout: float) -> nn.Module:
        return Head(encoder.config.hidden_size, len(self.labels), dropout)

    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Cross entropy, summed over rows."""
        return nn.functional.cross_entropy(logits, batch["labels"], reduction="sum")

    def decode(self, logits: list[np.ndarray], encoded: Encoded, table: pa.Table) -> list[str]:
        """The most probable label of every pair."""
        return [self.labels[int(row.argmax())] for row in logits]

    def guess(self, table: pa.Table) -> list[str] | None:
        """The commonest label for every row: what takes no learning."""
        return [commonest(table["label"].to_pylist())] * len(table)

    def evaluate(self, predictions: list[str], table: pa.Table) -> dict[str, float]:
        right = [p == g for p, g in zip(predictions, table["label"].to_pylist(), strict=True)]
        return {"accuracy": round(100 * float(np.mean(right)), 4)}

    def write(self, predictions: list[str], table: pa.Table, path: Path) -> None:
        """One label a line, as XTREME's XNLI and PAWS-X submissions."""
        path.write_text("".join(f"{label}\n" for label in predictions), encoding="utf-8")
