"""Dropout on a CPU, where torch draws the random numbers of a mask one by one: a quarter of a training step."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

LEAST = torch.iinfo(torch.int64).min
STEPS = 1 << 16  # the probability is rounded to 1/65,536, and the rest scaled by what it is then

_dropout, _attention = nn.functional.dropout, nn.functional.scaled_dot_product_attention


class _Dropout(torch.autograd.Function):
    """Every 64 random bits decide over four elements."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, p: float) -> torch.Tensor:
        dropped = round(p * STEPS)
        drawn = torch.empty(math.ceil(x.numel() / 4), dtype=torch.int64).random_(LEAST, None).view(torch.int16)
        # Not torch.where: with a mask of numbers all is done in vector instructions.
        mask = torch.empty(x.shape, dtype=x.dtype)
        torch.ge(drawn[: x.numel()].view(x.shape), dropped - STEPS // 2, out=mask)
        ctx.save_for_backward(mask.mul_(STEPS / (STEPS - dropped)))
        return x * mask

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (mask,) = ctx.saved_tensors
        return gradient * mask, None


def dropout(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    """torch.nn.functional.dropout."""
    if not training or inplace or p in (0.0, 1.0) or input.device.type != "cpu":
        return _dropout(input, p, training, inplace)
    return _Dropout.apply(input, p)  # type: ignore[no-any-return]


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """torch.nn.functional.scaled_dot_product_attention, which on a CPU has no fused kernel with dropout either."""
    if not dropout_p or is_causal or enable_gqa or query.device.type != "cpu":
        return _attention(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
    scores = (query * (scale or query.shape[-1] ** -0.5)) @ key.transpose(-2, -1)
    if attn_mask is not None:
        hidden = torch.finfo(scores.dtype).min
        scores = scores.masked_fill_(~attn_mask, hidden) if attn_mask.dtype == torch.bool else scores.add_(attn_mask)
    return dropout(scores.softmax(-1), dropout_p) @ value


@contextlib.contextmanager
def fast_dropout() -> Iterator[None]:
    """Within the block torch's dropout and attention are these; a backward pass belongs in it, as in `rounding`."""
    nn.functional.dropout, nn.functional.scaled_dot_product_attention = dropout, attention
    try:
        yield
    finally:
        nn.functional.dropout, nn.functional.scaled_dot_product_attention = _dropout, _attention
