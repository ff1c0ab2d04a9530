"""Token tagging (UDPOS, PAN-X, CCG): one label per word, read from the hidden state of its first subword."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from transformers import PreTrainedModel

from stiltwalk.tasks.base_head import TaskHead, TrainedTask, most_frequent
from stiltwalk.training.batching import TokenizedRows
from stiltwalk.utils.labels import IGNORED


class Head(TaskHead):
    """Dropout and a linear layer."""

    def __init__(self, width: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, labels)

    def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Hidden states (rows x tokens x width) to logits (rows x tokens x labels)."""
        return self.out(self.dropout(hidden))


class Task(TrainedTask[list[str]]):
    """A prediction is the list of a sentence's tags, one per word."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.labels: list[str] = options["labels"]

    def make_head(self, encoder: PreTrainedModel, dropout: float) -> TaskHead:
        """Return a head with one output per label."""
        return Head(encoder.config.hidden_size, len(self.labels), dropout)

    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the cross entropy, summed over words."""
        return nn.functional.cross_entropy(
            logits.flatten(0, 1), batch["labels"].flatten(), reduction="sum", ignore_index=IGNORED
        )

    def decode(self, logits: list[np.ndarray], rows: TokenizedRows, table: pa.Table) -> list[list[str]]:
        """Return the most probable label of every word. The segments of a long sentence are joined again."""
        tags: list[list[str]] = [[] for _ in range(len(table))]
        for row, values, first in zip(rows.table_rows.tolist(), logits, rows.lists("first"), strict=True):
            tags[row] += [self.labels[label] for label in values[first].argmax(-1)]
        return tags

    def majority_baseline(self, table: pa.Table) -> list[list[str]]:
        """Return the most frequent tag for every word."""
        gold = table["tags"].to_pylist()
        majority = most_frequent([tag for tags in gold for tag in tags])
        return [[majority] * len(tags) for tags in gold]

    def evaluate(self, predictions: list[list[str]], table: pa.Table) -> dict[str, float]:
        """Return the micro F1 over words.

        The label `O`, where there is one, does not count: it is so frequent that accuracy would say little. A gold tag
        that is not among the labels counts as missed.
        """
        pairs = [
            pair
            for predicted, gold in zip(predictions, table["tags"].to_pylist(), strict=True)
            for pair in zip(predicted, gold, strict=True)
        ]
        correct = sum(predicted == gold != "O" for predicted, gold in pairs)
        counted = sum((predicted != "O") + (gold != "O") for predicted, gold in pairs)
        return {"f1": round(100 * 2 * correct / max(1, counted), 4)}

    def write_predictions(self, predictions: list[list[str]], table: pa.Table, path: Path) -> None:
        """Write one label per line and an empty line between sentences, as in XTREME's UDPOS and PAN-X submissions."""
        path.write_text("\n".join("".join(f"{tag}\n" for tag in tags) for tags in predictions), encoding="utf-8")
