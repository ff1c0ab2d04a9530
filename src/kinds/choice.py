"""Multiple choice (HellaSwag, Cosmos QA, CommonsenseQA): which of several texts goes with the prompt."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from common.errors import InputError
from training.encoded import Encoded

SUFFIX = "tsv"


class Head(nn.Module):
    """RoBERTa's pooler and one output: a score for each pair of prompt and choice."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.out = nn.Linear(width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states (pairs x tokens x width) -> scores (pairs x 1)."""
        return self.out(self.dropout(torch.tanh(self.dense(hidden[:, 0]))))


class Kind:
    """options: labels (one for each choice), max_length (tokens of prompt and choice; the prompt's start is cut)."""

    def __init__(self, options: dict[str, Any], tokenizer: PreTrainedTokenizerFast):
        self.choices = len(options["labels"])
        self.max_length: int = options["max_length"]
        self.tokenizer = tokenizer

    def encode(self, table: pa.Table, gold: bool) -> Encoded:
        """One row for each question, which holds a sequence for each choice."""
        prompts, choices = table["prompt"].to_pylist(), table["choices"].to_pylist()
        if (odd := next((i for i, texts in enumerate(choices) if len(texts) != self.choices), None)) is not None:
            raise InputError(f"row {odd} has {len(choices[odd])} choices; the task's record has {self.choices} labels")
        tokens = self.tokenizer(
            [prompt for prompt in prompts for _ in range(self.choices)],
            [text for texts in choices for text in texts],
            truncation="only_first",
            max_length=self.max_length,
        )
        count = self.choices
        features: dict[str, list[Any]] = {
            name: [tokens[name][i * count : (i + 1) * count] for i in range(len(table))]
            for name in ("input_ids", "attention_mask")
        }
        if gold:
            features["labels"] = table["label"].to_pylist()
        return Encoded(features, list(range(len(table))), np.ones(len(table), np.int64))

    def head(self, encoder: PreTrainedModel, dropout: float) -> nn.Module:
        return Head(encoder.config.hidden_size, dropout)

    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Cross entropy over the choices of a question, summed over questions."""
        return nn.functional.cross_entropy(logits.reshape(-1, self.choices), batch["labels"], reduction="sum")

    def decode(self, logits: list[np.ndarray], encoded: Encoded, table: pa.Table) -> list[int]:
        """The number of the best choice of every question."""
        return [int(row.argmax()) for row in logits]

    def evaluate(self, predictions: list[int], table: pa.Table) -> dict[str, float]:
        right = [p == g for p, g in zip(predictions, table["label"].to_pylist(), strict=True)]
        return {"accuracy": round(100 * float(np.mean(right)), 4)}

    def write(self, predictions: list[int], table: pa.Table, path: Path) -> None:
        """The number of the choice, a line a question."""
        path.write_text("".join(f"{number}\n" for number in predictions), encoding="utf-8")
