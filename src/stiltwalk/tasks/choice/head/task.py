"""Multiple choice (HellaSwag, Cosmos QA, CommonsenseQA): which of several texts goes with the prompt."""

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
    """RoBERTa's pooler and one output: a score for each pair of prompt and choice."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.out = nn.Linear(width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Hidden states (pairs x tokens x width) to scores (pairs x 1)."""
        return self.out(self.dropout(torch.tanh(self.dense(hidden[:, 0]))))


class Task(TrainedTask[int]):
    """A prediction is the number of a choice, counted from 0. The options have one label per choice."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.choices = len(options["labels"])

    def make_head(self, encoder: PreTrainedModel, dropout: float) -> TaskHead:
        """Return a head that scores one choice."""
        return Head(encoder.config.hidden_size, dropout)

    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the cross entropy over the choices of a question, summed over questions."""
        return nn.functional.cross_entropy(logits.reshape(-1, self.choices), batch["labels"], reduction="sum")

    def decode(self, logits: list[np.ndarray], rows: TokenizedRows, table: pa.Table) -> list[int]:
        """Return the number of the best choice of every question."""
        return [int(values.argmax()) for values in logits]

    def majority_baseline(self, table: pa.Table) -> list[int]:
        """Return the most frequent number for every row."""
        return [most_frequent(table["label"].to_pylist())] * len(table)

    def evaluate(self, predictions: list[int], table: pa.Table) -> dict[str, float]:
        """Return the accuracy."""
        gold = table["label"].to_pylist()
        correct = [prediction == label for prediction, label in zip(predictions, gold, strict=True)]
        return {"accuracy": percent_correct(correct)}

    def write_predictions(self, predictions: list[int], table: pa.Table, path: Path) -> None:
        """Write one number per line."""
        write_lines(predictions, path)
