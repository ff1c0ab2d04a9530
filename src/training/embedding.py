"""Sentence vectors: a pooled hidden state, for the kinds of task that read the encoder without training it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch.nn import functional
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from common.errors import InputError
from training.encoded import Encoded, token_batches

POOLINGS = ("mean", "first")


class Embedder:
    """Unit vectors of sentences, as XTREME's third_party/evaluate_retrieval.py makes them.

    options: depth (which hidden state, as a share of the layers: 14/24 is X-STILTs'), pooling (mean over all tokens,
    special ones included, or the first one), max_length (tokens).
    """

    def __init__(self, options: dict[str, Any], tokenizer: PreTrainedTokenizerFast):
        self.depth: float = options["depth"]
        self.pooling: str = options["pooling"]
        self.max_length: int = options["max_length"]
        self.tokenizer = tokenizer
        where = f"params.yaml: kinds.{options['kind']}"
        if not 0 <= self.depth <= 1:
            raise InputError(f"{where}.depth is {self.depth!r}; it must be from 0 to 1")
        if self.pooling not in POOLINGS:
            raise InputError(f"{where}.pooling is {self.pooling!r}; it must be one of {', '.join(POOLINGS)}")

    def layer(self, encoder: PreTrainedModel) -> int:
        """The hidden state that is read; 0 is the embeddings'."""
        return round(self.depth * encoder.config.num_hidden_layers)

    def encode(self, sentences: list[str]) -> Encoded:
        """One row for each sentence."""
        tokens = self.tokenizer(sentences, truncation=True, max_length=self.max_length)
        features = {name: tokens[name] for name in ("input_ids", "attention_mask")}
        return Encoded(features, list(range(len(sentences))), np.zeros(len(sentences), np.int64))

    @torch.inference_mode()
    def embed(
        self,
        accelerator: Accelerator,
        encoder: PreTrainedModel,
        sentences: list[str],
        tokens: int,
        layers: Sequence[int],
        name: str = "",
    ) -> torch.Tensor:
        """Vectors of these hidden states (layers x sentences x width) in float32; with a name, a progress bar."""
        encoded = self.encode(sentences)
        vectors = torch.empty(len(layers), len(encoded), encoder.config.hidden_size)
        encoder.eval()
        batches = token_batches(encoded.lengths, tokens)
        for rows in tqdm(batches, name, unit="batch", disable=not (name and accelerator.is_main_process)):
            batch = encoded.tensors(rows, encoder.config.pad_token_id, accelerator.device)
            with accelerator.autocast():
                hidden = encoder(**batch, output_hidden_states=True).hidden_states
            mask = batch["attention_mask"].unsqueeze(-1)
            for place, layer in enumerate(layers):
                states = hidden[layer].float()
                pooled = states[:, 0] if self.pooling == "first" else (states * mask).sum(1) / mask.sum(1)
                vectors[place, rows] = functional.normalize(pooled, dim=-1).cpu()
        return vectors
