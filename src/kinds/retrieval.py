"""Sentence retrieval (Tatoeba): the nearest sentence of the other language, without any training.

As XTREME's third_party/evaluate_retrieval.py: the index holds the other language, the queries are English. One forward
pass serves every layer.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
from accelerate import Accelerator
from transformers import PreTrainedModel

from training.embedding import Embedder
from training.encoded import Encoded

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
    ) -> tuple[dict[str, list[int]], dict[str, Any]]:
        """For every English sentence the row of its nearest sentence in the other language, and facts for the record.

        The answers of the layer that is read are under "", those of every hidden state under "layers/<number>".
        """
        layers = range(encoder.config.num_hidden_layers + 1)
        pairs = Encoded.read(encoded / f"test-{language}.arrow")
        vectors = self.embedder.embed(accelerator, encoder, pairs, tokens, layers)
        other, english = vectors[:, ::2], vectors[:, 1::2]
        found = [(e @ o.T).argmax(-1).tolist() for e, o in zip(english, other, strict=True)]
        answers = {"": found[self.embedder.layer(encoder)]} | {f"layers/{layer}": found[layer] for layer in layers}
        return answers, {}

    def write(self, predictions: list[int], table: pa.Table, path: Path) -> None:
        """One row number a line, as XTREME's Tatoeba submissions."""
        path.write_text("".join(f"{row}\n" for row in predictions), encoding="utf-8")
