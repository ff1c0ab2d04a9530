"""Sentence retrieval (Tatoeba): the nearest sentence of the other language, without any training.

As XTREME's third_party/evaluate_retrieval.py: mean over all tokens of one hidden layer, special tokens included,
L2-normalised; the index holds the other language, the queries are English.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from accelerate import Accelerator
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from common.errors import InputError
from training.encoded import Encoded, prediction_batches

SUFFIX = "tsv"


class Kind:
    """options: depth (which hidden state, as a share of the layers: 14/24 is XTREME's), max_length."""

    def __init__(self, options: dict[str, Any], tokenizer: PreTrainedTokenizerFast):
        self.depth: float = options["depth"]
        self.max_length: int = options["max_length"]
        self.tokenizer = tokenizer
        if not 0 <= self.depth <= 1:
            raise InputError(f"params.yaml: kinds.retrieval.depth is {self.depth!r}; it must be from 0 to 1")

    def encode(self, sentences: list[str]) -> Encoded:
        """One row for each sentence."""
        tokens = self.tokenizer(sentences, truncation=True, max_length=self.max_length)
        features = {name: tokens[name] for name in ("input_ids", "attention_mask")}
        return Encoded(features, list(range(len(sentences))), np.zeros(len(sentences), np.int64))

    def layer(self, encoder: PreTrainedModel) -> int:
        """The hidden state that is read; 0 is the embeddings'."""
        return round(self.depth * encoder.config.num_hidden_layers)

    @torch.inference_mode()
    def embed(
        self, accelerator: Accelerator, encoder: PreTrainedModel, sentences: list[str], tokens: int
    ) -> torch.Tensor:
        """Unit vectors (sentences x width) in float32."""
        encoded = self.encode(sentences)
        vectors = torch.empty(len(encoded), encoder.config.hidden_size)
        encoder.eval()
        for rows in prediction_batches(encoded.lengths, tokens):
            batch = encoded.tensors(rows, encoder.config.pad_token_id, accelerator.device)
            with accelerator.autocast():
                hidden = encoder(**batch, output_hidden_states=True).hidden_states[self.layer(encoder)].float()
            mask = batch["attention_mask"].unsqueeze(-1)
            vectors[rows] = functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1).cpu()
        return vectors

    def predict(self, accelerator: Accelerator, encoder: PreTrainedModel, table: pa.Table, tokens: int) -> list[int]:
        """For every English sentence the row of its nearest sentence in the other language."""
        english = self.embed(accelerator, encoder, table["target"].to_pylist(), tokens)
        other = self.embed(accelerator, encoder, table["source"].to_pylist(), tokens)
        return (english @ other.T).argmax(-1).tolist()

    def write(self, predictions: list[int], table: pa.Table, path: Path) -> None:
        """One row number a line, as XTREME's Tatoeba submissions."""
        path.write_text("".join(f"{row}\n" for row in predictions), encoding="utf-8")
