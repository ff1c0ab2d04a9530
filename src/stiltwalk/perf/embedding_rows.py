"""Training on the rows of the word embedding that the data touches, exactly as on all of them.

A multilingual vocabulary is most of a small encoder, and a task touches a tenth of it. The gradient of the other rows
is zero, so that AdamW only decays them: by the product of 1 - learning rate x weight decay over the steps.
"""

import contextlib
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from stiltwalk.training.batching import Encoded


class TouchedRows(nn.Module):
    """In the place of a word embedding: some of its rows, under the ids that they have there."""

    places: torch.Tensor
    kept: torch.Tensor

    def __init__(self, whole: nn.Embedding, ids: np.ndarray):
        """ids: distinct token ids, sorted."""
        super().__init__()
        rows = torch.from_numpy(ids)
        self.weight = nn.Parameter(whole.weight.detach()[rows].clone())
        # An id that is not among them has a place that is not there, and fails.
        places = torch.full((len(whole.weight),), len(ids))
        places[rows] = torch.arange(len(ids))
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("kept", torch.ones((), dtype=torch.float64))
        self.padding = None if whole.padding_idx is None else int(places[whole.padding_idx])

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return nn.functional.embedding(self.places[input_ids], self.weight, padding_idx=self.padding)

    def decay(self, learning_rate: float, weight_decay: float) -> None:
        """What AdamW does to a row without gradient in one step; to be called once a step."""
        self.kept.mul_(1 - learning_rate * weight_decay)

    def write(self, whole: nn.Embedding) -> None:
        """Give the embedding the rows as they are now, and the other rows what decay left of them."""
        with torch.no_grad():
            rows = (self.places < len(self.weight)).nonzero()[:, 0].to(whole.weight.device)
            whole.weight.mul_(self.kept.item())
            whole.weight[rows] = self.weight.to(whole.weight.device)


@contextlib.contextmanager
def on_touched_rows(
    encoder: PreTrainedModel, heads: Iterable[nn.Module], data: Iterable[Encoded]
) -> Iterator[TouchedRows | None]:
    """Within the block the encoder has the rows alone that occur in `data`; after it all, as if all had been trained.

    None, and nothing changed, where the embedding is not trained or a head reads all of it.
    """
    whole = encoder.get_input_embeddings()
    assert isinstance(whole, nn.Embedding)
    if not whole.weight.requires_grad or any(whole in getattr(head, "shared", ()) for head in heads):
        yield None
        return
    special = [encoder.config.pad_token_id] if whole.padding_idx is None else [whole.padding_idx]
    rows = TouchedRows(whole, np.unique(np.concatenate([special, *(encoded.vocabulary for encoded in data)])))
    encoder.set_input_embeddings(rows)
    try:
        yield rows
    finally:
        whole.to(rows.weight.device)
        rows.write(whole)
        encoder.set_input_embeddings(whole)
