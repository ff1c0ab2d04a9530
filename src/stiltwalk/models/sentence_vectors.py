"""Sentence vectors: pooled hidden states, for the kinds of task that read the encoder without training it."""

from collections.abc import Sequence

import numpy as np
import torch
from accelerate import Accelerator
from torch.nn import functional
from tqdm import tqdm
from transformers import PreTrainedModel

from stiltwalk.models.architecture import language_arguments
from stiltwalk.perf.bf16_inference import inference_forward
from stiltwalk.perf.truncated_encoder import truncated_encoder
from stiltwalk.training.batching import TokenizedRows, token_batches
from stiltwalk.utils.errors import InputError

POOLINGS = ("mean", "first")


class SentenceEmbedder:
    """Makes unit vectors of sentences, as XTREME's third_party/evaluate_retrieval.py does.

    depth: which hidden state is read, as a share of the layers; X-STILTs read number 14 of XLM-R large's 24.
    pooling: `mean` over all tokens, special tokens included, or the `first` token.

    Raises InputError if an option is not one of these; the message names it under `kinds.<kind>`.
    """

    def __init__(self, kind: str, depth: float, pooling: str) -> None:
        where = f"params.yaml: kinds.{kind}"
        if not 0 <= depth <= 1:
            raise InputError(f"{where}.depth is {depth!r}; it must be from 0 to 1")
        if pooling not in POOLINGS:
            raise InputError(f"{where}.pooling is {pooling!r}; it must be one of {', '.join(POOLINGS)}")
        self.depth = depth
        self.pooling = pooling

    def hidden_state(self, encoder: PreTrainedModel) -> int:
        """Return the hidden state that is read; 0 is the embeddings'."""
        return round(self.depth * encoder.config.num_hidden_layers)

    def embed(
        self,
        accelerator: Accelerator,
        encoder: PreTrainedModel,
        rows: TokenizedRows,
        max_tokens: int,
        hidden_states: Sequence[int],
        languages: Sequence[str] = (),
        progress: str = "",
    ) -> torch.Tensor:
        """Return unit vectors (hidden states x sequences x width) in float32, on the CPU.

        rows: all with the same number of sequences. The sequences of a row are consecutive in the result.
        max_tokens: padded tokens in one batch. languages: of each sequence of a row, for encoders that ask for them.
        progress: label of a progress bar; empty for none.
        """
        width = encoder.config.hidden_size
        vectors = torch.empty(len(hidden_states), 0, width)
        batches = token_batches(rows.padded_lengths(1), max_tokens, level=True)
        with truncated_encoder(encoder, max(hidden_states)), inference_forward(accelerator, encoder) as forward:
            hide = not (progress and accelerator.is_main_process)
            for numbers in tqdm(batches, progress, unit="batch", disable=hide):
                batch = rows.tensors(numbers, encoder.config.pad_token_id, accelerator.device)
                ids, mask = batch["input_ids"], batch["attention_mask"]
                of_languages = language_arguments(encoder, languages, len(numbers)) if languages else {}
                outputs = forward(input_ids=ids, attention_mask=mask, output_hidden_states=True, **of_languages)
                states, sequences = outputs.hidden_states, len(ids) // len(numbers)
                if not vectors.shape[1]:
                    vectors = torch.empty(len(hidden_states), sequences * len(rows), width)
                places = (numbers[:, None] * sequences + np.arange(sequences)).ravel()
                for place, state in enumerate(hidden_states):
                    vectors[place, places] = self._pool(states[state].float(), mask).cpu()
        return vectors

    def _pool(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Hidden states (sequences x tokens x width) to unit vectors (sequences x width)."""
        if self.pooling == "first":
            return functional.normalize(states[:, 0], dim=-1)
        tokens = mask.unsqueeze(-1)
        return functional.normalize((states * tokens).sum(1) / tokens.sum(1), dim=-1)
