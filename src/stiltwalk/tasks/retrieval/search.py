"""Sentence retrieval (Tatoeba): the nearest sentence of the other language, without any training.

As XTREME's third_party/evaluate_retrieval.py: the index holds the other language, the queries are English. One forward
pass serves every layer.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from accelerate import Accelerator
from transformers import PreTrainedModel

from stiltwalk.models.sentence_vectors import Embedder
from stiltwalk.training.batching import Encoded

SUFFIX = "tsv"


class Kind:
    """options: those of Embedder."""

    def __init__(self, options: dict[str, Any]):
        self.embedder = Embedder(options)

    def predict(
        self,
        accelerator: Accelerator,
        encoder: PreTrainedModel,
        table: pa.Table,
        rows: Path,
        encoded: Path,
        language: str,
        tokens: int,
    ) -> tuple[list[int], dict[str, Any]]:
        """For every English sentence the row of its nearest sentence in the other language; no facts for the record."""
        pairs = Encoded.read(encoded / f"test-{language}.arrow")
        return self.nearest(accelerator, encoder, pairs, tokens, [self.embedder.layer(encoder)])[0], {}

    def nearest(
        self, accelerator: Accelerator, encoder: PreTrainedModel, pairs: Encoded, tokens: int, layers: Sequence[int]
    ) -> list[list[int]]:
        """The same answers by each of these hidden states."""
        vectors = self.embedder.embed(accelerator, encoder, pairs, tokens, layers)
        other, english = vectors[:, ::2], vectors[:, 1::2]
        return [(e @ o.T).argmax(-1).tolist() for e, o in zip(english, other, strict=True)]

    def write(self, predictions: list[int], table: pa.Table, path: Path) -> None:
        """One row number a line, as XTREME's Tatoeba submissions."""
        path.write_text("".join(f"{row}\n" for row in predictions), encoding="utf-8")
