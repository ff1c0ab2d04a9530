"""Token tagging (UDPOS, PAN-X, CCG): one label a word, from the hidden state of its first sub-token."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from transformers import PreTrainedModel

from stiltwalk.tasks.tables import IGNORED
from stiltwalk.training.batching import Encoded
from stiltwalk.training.flags import commonest

SUFFIX = "tsv"


class Kind:
    """options: labels (names); the others are those of encoding/tagging.py.

    The rows of a split sentence are joined again when decoded. A gold tag that is none of the labels counts as missed.
    """

    def __init__(self, options: dict[str, Any]):
        self.labels: list[str] = options["labels"]

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
        for row, values, first in zip(encoded.rows.tolist(), logits, encoded.lists("first"), strict=True):
            tags[row] += [self.labels[i] for i in values[first].argmax(-1)]
        return tags

    def guess(self, table: pa.Table) -> list[list[str]] | None:
        """The commonest tag for every word: what takes no learning."""
        gold = table["tags"].to_pylist()
        usual = commonest([tag for tags in gold for tag in tags])
        return [[usual] * len(tags) for tags in gold]

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
