"""Pair classification (MNLI, XNLI, ...): one label for two texts, read from the hidden state of `<s>`."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from transformers import PreTrainedModel

from stiltwalk.tasks.base_head import TaskHead, TrainedTask, most_frequent, percent_correct, write_lines
from stiltwalk.training.batching import TokenizedRows


class Head(TaskHead):
    """RoBERTa's classification head: dropout, dense, tanh, dropout, linear."""

    def __init__(self, width: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.out = nn.Linear(width, labels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Hidden states (rows x tokens x width) to logits (rows x labels)."""
        return self.out(self.dropout(torch.tanh(self.dense(self.dropout(hidden[:, 0])))))


class Task(TrainedTask[str]):
    """A prediction is the name of a label."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.labels: list[str] = options["labels"]

    def make_head(self, encoder: PreTrainedModel, dropout: float) -> TaskHead:
        """Return a classification head with one output per label."""
        return Head(encoder.config.hidden_size, len(self.labels), dropout)

    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the cross entropy, summed over rows."""
        return nn.functional.cross_entropy(logits, batch["labels"], reduction="sum")

    def decode(self, logits: list[np.ndarray], rows: TokenizedRows, table: pa.Table) -> list[str]:
        """Return the most probable label of every pair."""
        return [self.labels[int(values.argmax())] for values in logits]

    def majority_baseline(self, table: pa.Table) -> list[str]:
        """Return the most frequent label for every row."""
        return [most_frequent(table["label"].to_pylist())] * len(table)

    def evaluate(self, predictions: list[str], table: pa.Table) -> dict[str, float]:
        """Return the accuracy."""
        gold = table["label"].to_pylist()
        correct = [prediction == label for prediction, label in zip(predictions, gold, strict=True)]
        return {"accuracy": percent_correct(correct)}

    def write_predictions(self, predictions: list[str], table: pa.Table, path: Path) -> None:
        """Write one label per line, as in XTREME's XNLI and PAWS-X submissions."""
        write_lines(predictions, path)
