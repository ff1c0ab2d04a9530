"""Train only the rows of the word embedding that the data uses, with the same result as training all of them.

A multilingual vocabulary is most of a small encoder, and a task uses a tenth of it. The gradient of all other rows is
zero, so AdamW only decays them: over the steps, by the product of 1 - learning rate x weight decay.
"""

import contextlib
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from stiltwalk.tasks.base_head import TaskHead
from stiltwalk.training.batching import TokenizedRows


class UsedEmbeddingRows(nn.Module):
    """Some rows of a word embedding, found under the token ids that they have there."""

    places: torch.Tensor
    kept_share: torch.Tensor

    def __init__(self, whole: nn.Embedding, ids: np.ndarray):
        """whole: the embedding. ids: distinct token ids, sorted."""
        super().__init__()
        rows = torch.from_numpy(ids)
        self.weight = nn.Parameter(whole.weight.detach()[rows].clone())
        # The place of any other id is out of range, so that looking it up fails.
        places = torch.full((len(whole.weight),), len(ids))
        places[rows] = torch.arange(len(ids))
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("kept_share", torch.ones((), dtype=torch.float64))
        self.padding = None if whole.padding_idx is None else int(places[whole.padding_idx])

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return nn.functional.embedding(self.places[input_ids], self.weight, padding_idx=self.padding)

    def decay(self, learning_rate: float, weight_decay: float) -> None:
        """Record what AdamW does to a row without gradient in one step; to be called once per step."""
        self.kept_share.mul_(1 - learning_rate * weight_decay)

    def write(self, whole: nn.Embedding) -> None:
        """Write the trained rows into the embedding, and decay its other rows."""
        with torch.no_grad():
            rows = (self.places < len(self.weight)).nonzero()[:, 0].to(whole.weight.device)
            whole.weight.mul_(self.kept_share.item())
            whole.weight[rows] = self.weight.to(whole.weight.device)


@contextlib.contextmanager
def used_embedding_rows(
    encoder: PreTrainedModel, heads: Iterable[TaskHead], data: Iterable[TokenizedRows]
) -> Iterator[UsedEmbeddingRows | None]:
    """Give the encoder only the embedding rows that occur in `data`; after the block it has all rows again.

    Yields None, and changes nothing, if the embedding is frozen or a head reads all of it.
    """
    whole = encoder.get_input_embeddings()
    assert isinstance(whole, nn.Embedding)
    if not whole.weight.requires_grad or any(whole in head.shared_embeddings for head in heads):
        yield None
        return
    padding = [encoder.config.pad_token_id] if whole.padding_idx is None else [whole.padding_idx]
    used = UsedEmbeddingRows(whole, np.unique(np.concatenate([padding, *(rows.vocabulary for rows in data)])))
    encoder.set_input_embeddings(used)
    try:
        yield used
    finally:
        whole.to(used.weight.device)
        used.write(whole)
        encoder.set_input_embeddings(whole)
