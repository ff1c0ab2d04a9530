"""Masked language modelling on running text, with the encoder's word embeddings as the output layer."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from transformers import PreTrainedModel

from stiltwalk.models.architecture import norm_epsilon
from stiltwalk.tasks.base_head import TaskHead, TrainedTask, percent_correct, write_lines
from stiltwalk.training.batching import TokenizedRows
from stiltwalk.utils.labels import IGNORED

TOKENS_PER_PRODUCT = 256  # tokens whose logits over the whole vocabulary are in memory at once


class Head(TaskHead):
    """RoBERTa's head: dense, GELU, layer norm, and the word embeddings (shared, not copied) as the output layer.

    The dense layer leads from the encoder's width to that of the embeddings, which is smaller in ELECTRA and RemBERT.

    In training it gives logits over the vocabulary. In prediction it gives only the id of the most probable token: with
    the 250,002 tokens of XLM-R, all logits of a validation set would not fit into memory.
    """

    def __init__(self, embeddings: nn.Embedding, encoder_width: int, epsilon: float) -> None:
        super().__init__()
        words, width = embeddings.weight.shape
        self.dense = nn.Linear(encoder_width, width)
        self.layer_norm = nn.LayerNorm(width, eps=epsilon)
        self.bias = nn.Parameter(torch.zeros(words))
        # A list hides the embedding from torch, so that only the encoder saves and trains it.
        self.shared_embeddings = [embeddings]

    def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Hidden states (tokens x width) to logits (tokens x vocabulary), or to token ids (tokens x 1)."""
        states = self.layer_norm(nn.functional.gelu(self.dense(hidden)))
        weight = self.shared_embeddings[0].weight
        if self.training:
            return nn.functional.linear(states, weight, self.bias)
        parts = [
            nn.functional.linear(part, weight, self.bias).argmax(-1, keepdim=True)
            for part in states.split(TOKENS_PER_PRODUCT)
        ]
        return torch.cat(parts).float()


class Task(TrainedTask[list[tuple[int, int]]]):
    """A prediction lists, for every masked token of a text, the id of the most probable token and the true id."""

    suffix = "txt"

    def make_head(self, encoder: PreTrainedModel, dropout: float) -> TaskHead:
        """Return a head that shares the encoder's word embeddings."""
        embeddings = encoder.get_input_embeddings()
        assert isinstance(embeddings, nn.Embedding)
        return Head(embeddings, encoder.config.hidden_size, norm_epsilon(encoder.config))

    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the cross entropy, summed over the masked tokens."""
        return nn.functional.cross_entropy(logits, batch["labels"][batch["mlm_mask"].bool()], reduction="sum")

    def decode(self, logits: list[np.ndarray], rows: TokenizedRows, table: pa.Table) -> list[list[tuple[int, int]]]:
        """Return the most probable and the true id of every masked token."""
        return [
            [(int(token), int(label)) for token, label in zip(values[:, 0], labels[labels != IGNORED], strict=True)]
            for values, labels in zip(logits, rows.lists("labels"), strict=True)
        ]

    def evaluate(self, predictions: list[list[tuple[int, int]]], table: pa.Table) -> dict[str, float]:
        """Return the accuracy over masked tokens."""
        return {"accuracy": percent_correct([token == label for row in predictions for token, label in row])}

    def write_predictions(self, predictions: list[list[tuple[int, int]]], table: pa.Table, path: Path) -> None:
        """Write the predicted ids, one line per text."""
        write_lines((" ".join(str(token) for token, _ in row) for row in predictions), path)
