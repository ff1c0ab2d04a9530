"""Multiple choice (HellaSwag, Cosmos QA, CommonsenseQA): which of several texts goes with the prompt."""

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
    """RoBERTa's pooler and one output: a score for each pair of prompt and choice."""

    first = True  # it reads the first token alone

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.out = nn.Linear(width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states (pairs x tokens x width) -> scores (pairs x 1)."""
        return self.out(self.dropout(torch.tanh(self.dense(hidden[:, 0]))))


class Kind:
    """options: labels (one for each choice); the others are those of encoding/choice.py."""

    def __init__(self, options: dict[str, Any]):
        self.choices = len(options["labels"])

    def head(self, encoder: PreTrainedModel, dropout: float) -> nn.Module:
        return Head(encoder.config.hidden_size, dropout)

    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Cross entropy over the choices of a question, summed over questions."""
        return nn.functional.cross_entropy(logits.reshape(-1, self.choices), batch["labels"], reduction="sum")

    def decode(self, logits: list[np.ndarray], encoded: Encoded, table: pa.Table) -> list[int]:
        """The number of the best choice of every question."""
        return [int(row.argmax()) for row in logits]

    def guess(self, table: pa.Table) -> list[int] | None:
        """The commonest number for every row: what takes no learning."""
        return [commonest(table["label"].to_pylist())] * len(table)

    def evaluate(self, predictions: list[int], table: pa.Table) -> dict[str, float]:
        right = [p == g for p, g in zip(predictions, table["label"].to_pylist(), strict=True)]
        return {"accuracy": round(100 * float(np.mean(right)), 4)}

    def write(self, predictions: list[int], table: pa.Table, path: Path) -> None:
        """The number of the choice, a line a question."""
        path.write_text("".join(f"{number}\n" for number in predictions), encoding="utf-8")
