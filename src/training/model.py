"""One encoder, and the heads of the tasks that are trained on it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel

ATTENTION = [
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]


class MultiTaskModel(nn.Module):
    """One encoder, one head a task; a batch is of one task."""

    def __init__(self, encoder: PreTrainedModel, heads: Mapping[str, nn.Module]):
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleDict(heads)

    def forward(
        self, task: str, input_ids: torch.Tensor, attention_mask: torch.Tensor, picked: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits of the task's head on the last hidden states (sequences x tokens x width), or on picked ones."""
        head = self.heads[task]
        if hasattr(head, "layer"):  # it reads another layer than the last
            states = self.encoder(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
            return head(states.hidden_states[head.layer], attention_mask)
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if picked is not None:
            hidden = hidden[picked.bool()]
        return head(hidden)


def part_of(weights: Mapping[str, torch.Tensor], module: str) -> dict[str, torch.Tensor]:
    """The weights of one module of the model, under the names that they have there."""
    return {
        name.removeprefix(f"{module}."): weight for name, weight in weights.items() if name.startswith(f"{module}.")
    }


@contextlib.contextmanager
def predicting(accelerator: Accelerator, model: nn.Module) -> Iterator[Callable[..., Any]]:
    """The model's forward pass without dropout and gradients, in the accelerator's precision.

    In bfloat16 the weights are rounded once and all is computed in it: autocast would round them for every batch, and
    go to and fro for layer norms and sums. A CPU multiplies by matrices that were laid out for it beforehand.
    """
    model.eval()
    with torch.inference_mode():
        if accelerator.mixed_precision != "bf16" or accelerator.is_fsdp2:  # which has its own copy in bfloat16
            with accelerator.autocast():
                yield model
            return
        weights = {
            name: value.to(torch.bfloat16) if value.is_floating_point() else value
            for name, value in model.state_dict().items()
        }
        # Fused attention is slow in float32 alone (tune_processor).
        with sdpa_kernel(ATTENTION), laid_out(model) if accelerator.device.type == "cpu" else nullcontext():
            yield lambda *arguments, **options: functional_call(model, weights, arguments, options)


@contextlib.contextmanager
def laid_out(model: nn.Module) -> Iterator[None]:
    """Within the block, linear layers in bfloat16 on a CPU multiply by weights in oneDNN's own layout, bias included.

    torch's own bfloat16 product writes the bias to all rows first and then adds to it, a fifth of all the time. These
    operators are the ones that torch.compile makes use of; nothing is changed where the processor has no bfloat16.
    """
    operators: Any = torch.ops.mkldnn
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not operators._is_mkldnn_bf16_supported():
        yield
        return
    for linear in linears:
        weight = operators._reorder_linear_weight(linear.weight.detach().to(torch.bfloat16))
        bias = None if linear.bias is None else linear.bias.detach().to(torch.bfloat16)
        linear.forward = partial(_multiplied, weight, bias)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for linear in linears:
            del linear.forward


def _multiplied(weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
