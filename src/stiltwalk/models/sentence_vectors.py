"""Sentence vectors: a pooled hidden state, for the kinds of task that read the encoder without training it."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional
from tqdm import tqdm
from transformers import PreTrainedModel
from transformers.utils.output_capturing import maybe_install_capturing_hooks

from stiltwalk.models.multitask import predicting
from stiltwalk.training.batching import Encoded, token_batches
from stiltwalk.utils.errors import InputError

POOLINGS = ("mean", "first")


class Embedder:
    """Unit vectors of sentences, as XTREME's third_party/evaluate_retrieval.py makes them.

    options: depth (which hidden state, as a share of the layers: 14/24 is X-STILTs'), pooling (mean over all tokens,
    special ones included, or the first one); and max_length, which encoding/ reads.
    """

    def __init__(self, options: dict[str, Any]):
        self.depth: float = options["depth"]
        self.pooling: str = options["pooling"]
        where = f"params.yaml: kinds.{options['kind']}"
        if not 0 <= self.depth <= 1:
            raise InputError(f"{where}.depth is {self.depth!r}; it must be from 0 to 1")
        if self.pooling not in POOLINGS:
            raise InputError(f"{where}.pooling is {self.pooling!r}; it must be one of {', '.join(POOLINGS)}")

    def layer(self, encoder: PreTrainedModel) -> int:
        """The hidden state that is read; 0 is the embeddings'."""
        return round(self.depth * encoder.config.num_hidden_layers)

    def embed(
        self,
        accelerator: Accelerator,
        encoder: PreTrainedModel,
        encoded: Encoded,
        tokens: int,
        layers: Sequence[int],
        name: str = "",
    ) -> torch.Tensor:
        """Vectors of these hidden states (layers x sequences x width) in float32; with a name, a progress bar.

        Every row of `encoded` has as many sequences as the others; they follow each other.
        """
        vectors = torch.empty(len(layers), 0, encoder.config.hidden_size)
        batches = token_batches(encoded.lengths, tokens, level=True)
        with no_further_than(encoder, max(layers)), predicting(accelerator, encoder) as forward:
            for rows in tqdm(batches, name, unit="batch", disable=not (name and accelerator.is_main_process)):
                batch = encoded.tensors(rows, encoder.config.pad_token_id, accelerator.device)
                inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
                hidden = forward(**inputs, output_hidden_states=True).hidden_states
                mask = batch["attention_mask"].unsqueeze(-1)
                several = len(mask) // len(rows)
                if not vectors.shape[1]:
                    vectors = torch.empty(len(layers), several * len(encoded), encoder.config.hidden_size)
                places = (rows[:, None] * several + np.arange(several)).ravel()
                for place, layer in enumerate(layers):
                    states = hidden[layer].float()
                    pooled = states[:, 0] if self.pooling == "first" else (states * mask).sum(1) / mask.sum(1)
                    vectors[place, places] = functional.normalize(pooled, dim=-1).cpu()
        return vectors


@contextlib.contextmanager
def no_further_than(encoder: PreTrainedModel, state: int) -> Iterator[None]:
    """Within the block the encoder ends with this hidden state: of 24 layers, ten need not be computed for the 14th.

    Where it is layers in `encoder.layer` and nothing after them, as XLM-R and BERT; others stay whole.
    """
    stack = getattr(encoder, "encoder", nn.Module())
    layers = getattr(stack, "layer", None)
    if not isinstance(layers, nn.ModuleList) or [*stack.children()] != [layers] or hasattr(encoder, "LayerNorm"):
        yield
        return
    maybe_install_capturing_hooks(encoder)  # which transformers does once, in the first pass: of all layers
    stack.layer = layers[: max(1, state)]
    try:
        yield
    finally:
        stack.layer = layers
