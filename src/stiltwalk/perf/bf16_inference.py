"""Prediction: forward passes without dropout and gradients, in bfloat16 with weights that are rounded once.

Autocast would round the weights for every batch, and convert activations back and forth around layer norms and sums.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from stiltwalk.perf.prepacked_linears import install_prepacked_linears

# All of them: `tune_matmul` turns fused attention off on CPUs where it is slow in float32; in bfloat16 it is fast.
BACKENDS = [
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]


@contextlib.contextmanager
def inference_forward(accelerator: Accelerator, model: nn.Module) -> Iterator[Callable[..., Any]]:
    """Put the model into evaluation mode and yield its forward pass, in the accelerator's precision.

    The weights are read when the block begins. FSDP2 keeps bfloat16 weights of its own; there autocast is used.
    """
    model.eval()
    with torch.inference_mode():
        if accelerator.mixed_precision != "bf16" or accelerator.is_fsdp2:
            with accelerator.autocast():
                yield model
            return
        weights = {
            name: value.to(torch.bfloat16) if value.is_floating_point() else value
            for name, value in model.state_dict().items()
        }
        on_cpu = accelerator.device.type == "cpu"
        with sdpa_kernel(BACKENDS), install_prepacked_linears(model) if on_cpu else contextlib.nullcontext():
            yield lambda *arguments, **options: functional_call(model, weights, arguments, options)
