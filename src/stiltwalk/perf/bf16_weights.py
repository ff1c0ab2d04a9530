"""Train in bfloat16 with weights that are rounded once per forward pass.

Autocast rounds every weight separately, and converts activations to float32 and back around layer norms and sums. Here
one operation rounds the weights of all linear layers and layer norms of an encoder, and everything between its
embeddings and its last hidden state is computed in bfloat16. The embeddings and the weights that the optimizer updates
stay in float32.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from stiltwalk.perf.modules import swapped_modules

Copies = dict[torch.Tensor | None, torch.Tensor]  # by weight; layers without a bias look up None


class _Round(torch.autograd.Function):
    """Round all weights to bfloat16 in one operation; convert their gradients back to float32."""

    @staticmethod
    def forward(ctx: Any, *weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.set_materialize_grads(False)  # a weight that was not used has no gradient, and AdamW must not decay it
        rounded = [torch.empty_like(weight, dtype=torch.bfloat16) for weight in weights]
        torch._foreach_copy_(rounded, list(weights))
        return tuple(rounded)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        narrow = [gradient for gradient in gradients if gradient is not None]
        wide = [torch.empty_like(gradient, dtype=torch.float32) for gradient in narrow]
        if narrow:
            torch._foreach_copy_(wide, narrow)
        remaining = iter(wide)
        return tuple(None if gradient is None else next(remaining) for gradient in gradients)


class Bf16Linear(nn.Linear):
    """A linear layer that multiplies by the rounded copies of its weights in training mode."""

    def __init__(self, linear: nn.Linear, copies: Copies):
        has_bias = linear.bias is not None
        super().__init__(linear.in_features, linear.out_features, has_bias, device="meta")  # allocates nothing
        self.weight, self.bias = linear.weight, linear.bias
        self.copies = copies

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(input)
        weight, bias = self.copies[self.weight], self.copies.get(self.bias)
        return nn.functional.linear(input.to(torch.bfloat16), weight, bias)


class Bf16LayerNorm(nn.LayerNorm):
    """A layer norm with bfloat16 output in training mode, by the rounded copies of its weights where the input is too.

    The input of the embeddings' layer norm is float32; that one is computed in float32, and its output rounded.
    """

    def __init__(self, norm: nn.LayerNorm, copies: Copies):
        shape, has_bias = tuple(norm.normalized_shape), norm.bias is not None
        super().__init__(shape, norm.eps, norm.elementwise_affine, has_bias, device="meta")
        self.weight, self.bias = norm.weight, norm.bias
        self.copies = copies

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(input)
        if input.dtype != torch.bfloat16:
            return super().forward(input).to(torch.bfloat16)
        weight, bias = self.copies.get(self.weight), self.copies.get(self.bias)
        return nn.functional.layer_norm(input, self.normalized_shape, weight, bias, self.eps)


class _Bf16Passes:
    """Hooks around the forward pass of an encoder in training mode, and the rounded weights of the current pass."""

    def __init__(self, encoder: nn.Module):
        layers = [module for module in encoder.modules() if type(module) in (nn.Linear, nn.LayerNorm)]
        self.weights = list(dict.fromkeys(weight for layer in layers for weight in layer.parameters(recurse=False)))
        self.copies: Copies = {}
        self.without_autocast = contextlib.ExitStack()

    def substitute(self, module: nn.Module) -> nn.Module | None:
        if type(module) is nn.Linear:
            return Bf16Linear(module, self.copies)
        if type(module) is nn.LayerNorm:
            return Bf16LayerNorm(module, self.copies)
        return None

    def before(self, encoder: nn.Module, arguments: Any) -> None:
        if encoder.training:
            self.copies.clear()  # frees the copies of the pass before, which its backward pass needed
            self.copies.update(zip(self.weights, _Round.apply(*self.weights), strict=True))
            device_type = self.weights[0].device.type
            self.without_autocast.enter_context(torch.autocast(device_type, enabled=False))

    def after(self, encoder: nn.Module, arguments: Any, outputs: Any) -> None:
        """Leave bfloat16; heads get float32, as they do from autocast. `outputs` is None if the pass failed."""
        self.without_autocast.close()
        if encoder.training and outputs is not None:
            for name, states in list(outputs.items()):
                outputs[name] = tuple(s.float() for s in states) if isinstance(states, tuple) else states.float()


@contextlib.contextmanager
def install_bf16_weights(encoder: PreTrainedModel) -> Iterator[None]:
    """Compute the encoder's forward and backward passes in bfloat16 within the block, while it is in training mode.

    In evaluation mode the encoder computes what it computes without this. Its parameters, their names and its class
    stay the same; the gradients of the parameters are float32.
    """
    passes = _Bf16Passes(encoder)
    with swapped_modules(encoder, passes.substitute):
        handles = (
            encoder.register_forward_pre_hook(passes.before),
            encoder.register_forward_hook(passes.after, always_call=True),
        )
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
