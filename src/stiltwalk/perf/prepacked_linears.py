"""Predict in bfloat16 on a CPU with weights in oneDNN's own layout.

torch's own bfloat16 product writes the bias to all rows first and then adds the product to it, which takes a fifth of
all the time. The operators used here are the ones that torch.compile uses; they add the bias within the product.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from stiltwalk.perf.modules import swapped_modules


class PrepackedLinear(nn.Linear):
    """A linear layer for inputs in bfloat16. Its weights are rounded and packed once, when it is created."""

    def __init__(self, linear: nn.Linear):
        has_bias = linear.bias is not None
        super().__init__(linear.in_features, linear.out_features, has_bias, device="meta")  # allocates nothing
        self.weight, self.bias = linear.weight, linear.bias
        rounded = linear.weight.detach().to(torch.bfloat16)
        self.packed_weight = torch.ops.mkldnn._reorder_linear_weight(rounded)
        self.packed_bias = linear.bias.detach().to(torch.bfloat16) if has_bias else None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise(input, self.packed_weight, self.packed_bias, "none", [], "")


@contextlib.contextmanager
def install_prepacked_linears(model: nn.Module) -> Iterator[None]:
    """Use prepacked linear layers within the block; change nothing if the processor lacks bfloat16 instructions."""

    def substitute(module: nn.Module) -> nn.Module | None:
        return PrepackedLinear(module) if isinstance(module, nn.Linear) else None

    supported = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    with swapped_modules(model, substitute) if supported else contextlib.nullcontext():
        yield
