"""Compute the last layer for the first token only, for heads that read no other token.

The first token still attends to all tokens, so the last layer needs only keys and values of the others.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.models.bert.modeling_bert import BertCrossAttention, BertSelfAttention
from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaCrossAttention, XLMRobertaSelfAttention

from stiltwalk.tasks.base_head import TaskHead

CROSS_ATTENTION: dict[type, Any] = {
    BertSelfAttention: BertCrossAttention,
    XLMRobertaSelfAttention: XLMRobertaCrossAttention,
}
"""The class that has the same weights as a self-attention, and takes its queries from other tokens."""


class FirstTokenAttention(nn.Module):
    """A layer's attention and output projection, for the first token of every sequence."""

    def __init__(self, attention: Any):
        super().__init__()
        self.self, self.output = attention.self, attention.output
        self.cross_attention = CROSS_ATTENTION[type(attention.self)].forward

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None = None, **options: Any) -> tuple[Any, Any]:
        """Hidden states (sequences x tokens x width) -> states (sequences x 1 x width), and attention weights."""
        first = hidden[:, :1]
        if mask is not None:
            mask = mask[:, :, :1]  # sequences x heads x queries x keys
        states, weights = self.cross_attention(self.self, first, hidden, mask, **options)
        return self.output(states, first), weights


@contextlib.contextmanager
def first_token_only(encoder: PreTrainedModel, head: TaskHead) -> Iterator[None]:
    """Compute the last layer for only the first token within the block, if the head reads no other one.

    The block has to contain the backward pass as well. Encoders other than XLM-R and BERT compute all tokens.
    """
    layers = getattr(getattr(encoder, "encoder", None), "layer", None)
    attention: Any = getattr(layers[-1], "attention", None) if layers else None
    if not head.reads_first_token_only or type(getattr(attention, "self", None)) not in CROSS_ATTENTION:
        yield
        return
    assert layers is not None
    layers[-1].attention = FirstTokenAttention(attention)
    try:
        yield
    finally:
        layers[-1].attention = attention
