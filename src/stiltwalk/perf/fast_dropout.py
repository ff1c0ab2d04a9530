"""Dropout on a CPU, where torch draws the random numbers of a mask one by one: a quarter of a training step.

Here every 64 random bits decide about four elements.
"""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask, sdpa_mask

from stiltwalk.models.architecture import architecture_of
from stiltwalk.models.multitask import MultiTaskModel
from stiltwalk.perf.modules import swapped_modules

LOWEST = torch.iinfo(torch.int64).min
LEVELS = 1 << 16  # the probability is rounded to a multiple of 1/65,536; the scale follows the rounded one


class _FastDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, p: float) -> torch.Tensor:
        dropped = round(p * LEVELS)
        bits = torch.empty(math.ceil(x.numel() / 4), dtype=torch.int64).random_(LOWEST, None).view(torch.int16)
        # A mask of numbers, unlike torch.where, keeps every operation in vector instructions.
        mask = torch.empty(x.shape, dtype=x.dtype)
        torch.ge(bits[: x.numel()].view(x.shape), dropped - LEVELS // 2, out=mask)
        ctx.save_for_backward(mask.mul_(LEVELS / (LEVELS - dropped)))
        return x * mask

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (mask,) = ctx.saved_tensors
        return gradient * mask, None


def fast_dropout(x: torch.Tensor, p: float) -> torch.Tensor:
    """Dropout in training; torch's own where `x` is not on a CPU, or where nothing or everything is dropped."""
    if p in (0.0, 1.0) or x.device.type != "cpu":
        return nn.functional.dropout(x, p)
    return _FastDropout.apply(x, p)  # type: ignore[no-any-return]


class FastDropout(nn.Dropout):
    """nn.Dropout that draws its mask fast."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return fast_dropout(input, self.p) if self.training else input


def sdpa_with_fast_dropout(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention for transformers' AttentionInterface: torch has no fused kernel with dropout on a CPU either.

    query, key, value: sequences x heads x tokens x width of a head. attention_mask: of booleans, or of numbers to add.
    Without dropout, and for what encoders do not need (causal or grouped attention), this is transformers' `sdpa`.
    """
    causal = options.get("is_causal")
    special = getattr(module, "is_causal", True) if causal is None else causal
    special = special or getattr(module, "num_key_value_groups", 1) > 1 or options.get("position_bias") is not None
    if not dropout or special or query.device.type != "cpu":
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **options)
    scores = (query * (scaling or query.shape[-1] ** -0.5)) @ key.transpose(-2, -1)
    if attention_mask is not None:
        if attention_mask.dtype == torch.bool:
            scores = scores.masked_fill_(~attention_mask, torch.finfo(scores.dtype).min)
        else:
            scores = scores.add_(attention_mask)
    states = fast_dropout(scores.softmax(-1), dropout) @ value
    return states.transpose(1, 2).contiguous(), None


def eager_with_fast_dropout(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """BERT's and XLM-R's eager attention (`eager_attention_forward` of transformers) with fast dropout."""
    if scaling is None:
        scaling = query.size(-1) ** -0.5
    weights = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        weights = weights + attention_mask
    weights = nn.functional.softmax(weights, dim=-1)
    if module.training:
        weights = fast_dropout(weights, dropout)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


@contextlib.contextmanager
def install_fast_dropout(model: MultiTaskModel) -> Iterator[None]:
    """Use fast dropout within the block: in all `nn.Dropout` of encoder and heads, and in the encoder's attention."""

    def substitute(module: nn.Module) -> nn.Module | None:
        return FastDropout(module.p) if type(module) is nn.Dropout and not module.inplace else None

    AttentionInterface.register("sdpa_fast_dropout", sdpa_with_fast_dropout)
    AttentionMaskInterface.register("sdpa_fast_dropout", sdpa_mask)
    AttentionInterface.register("eager_fast_dropout", eager_with_fast_dropout)
    AttentionMaskInterface.register("eager_fast_dropout", eager_mask)
    config = model.encoder.config
    attention = config._attn_implementation
    known = attention == "sdpa" or (attention == "eager" and architecture_of(config).fast_eager)
    with swapped_modules(model, substitute):
        if known:
            model.encoder.set_attn_implementation(f"{attention}_fast_dropout")
        try:
            yield
        finally:
            if known:
                model.encoder.set_attn_implementation(attention)
