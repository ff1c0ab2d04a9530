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
from transformers.models.bert.modeling_bert import BertCrossAttention, BertSelfAttention
from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaCrossAttention, XLMRobertaSelfAttention

ATTENTION = [
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
CROSS: dict[type, Any] = {BertSelfAttention: BertCrossAttention, XLMRobertaSelfAttention: XLMRobertaCrossAttention}
"""Self-attention, and the class of the same weights whose queries may be of other tokens than keys and values."""


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

    def reading(self, task: str) -> contextlib.AbstractContextManager[None]:
        """What a pass of the task belongs in, its backward pass too: no more is computed than its head reads."""
        return first_alone(self.encoder) if getattr(self.heads[task], "first", False) else nullcontext()


def part_of(weights: Mapping[str, torch.Tensor], module: str) -> dict[str, torch.Tensor]:
    """The weights of one module of the model, under the names that they have there."""
    return {
        name.removeprefix(f"{module}."): weight for name, weight in weights.items() if name.startswith(f"{module}.")
    }


@contextlib.contextmanager
def replaced(forwards: Mapping[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """Within the block these modules are called so."""
    for module, forward in forwards.items():
        module.forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        for module in forwards:
            del module.forward


@contextlib.contextmanager
def first_alone(encoder: PreTrainedModel) -> Iterator[None]:
    """Within the block the last layer of an XLM-R or BERT is computed for the first token alone; others stay whole.

    That token attends to all tokens as before. Of twelve layers' products a fifteenth is saved: of the last one only
    keys and values are needed of every token.
    """
    layers = getattr(getattr(encoder, "encoder", None), "layer", None)
    attention: Any = getattr(layers[-1], "attention", None) if layers else None
    cross: Any = CROSS.get(type(getattr(attention, "self", None)))

    def forward(hidden: torch.Tensor, mask: torch.Tensor | None = None, **options: Any) -> tuple[Any, Any]:
        first = hidden[:, :1]
        if mask is not None:
            mask = mask[:, :, :1]  # rows x heads x queries x keys
        states, weights = cross.forward(attention.self, first, hidden, mask, **options)
        return attention.output(states, first), weights

    with replaced({attention: forward} if cross else {}):
        yield


class _Round(torch.autograd.Function):
    """Weights in bfloat16, all by one operation, and their gradients back in float32."""

    @staticmethod
    def forward(ctx: Any, *weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.set_materialize_grads(False)  # what was not used has no gradient, and is not decayed
        rounded = [torch.empty_like(weight, dtype=torch.bfloat16) for weight in weights]
        torch._foreach_copy_(rounded, list(weights))
        return tuple(rounded)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        there = [gradient for gradient in gradients if gradient is not None]
        wide = [torch.empty_like(gradient, dtype=torch.float32) for gradient in there]
        if there:
            torch._foreach_copy_(wide, there)
        found = iter(wide)
        return tuple(None if gradient is None else next(found) for gradient in gradients)


@contextlib.contextmanager
def rounding(encoder: PreTrainedModel) -> Iterator[None]:
    """Within the block, passes through the encoder are in bfloat16, by weights that are rounded once a pass.

    autocast rounds every weight by itself, and goes to and fro for layer norms and sums. The embeddings stay in
    float32, as do the weights and what the optimizer knows of them. A backward pass belongs in the block as well: it
    may compute layers anew.
    """
    places = [module for module in encoder.modules() if type(module) in (nn.Linear, nn.LayerNorm)]
    weights = list(dict.fromkeys(weight for module in places for weight in module.parameters(recurse=False)))
    rounded: dict[torch.Tensor | None, torch.Tensor] = {}
    forward = encoder.forward

    def whole(*arguments: Any, **options: Any) -> Any:
        rounded.update(zip(weights, _Round.apply(*weights), strict=True))
        with torch.autocast(weights[0].device.type, enabled=False):
            states = forward(*arguments, **options)
        for name, value in list(states.items()):  # heads get float32, as after autocast
            states[name] = tuple(state.float() for state in value) if isinstance(value, tuple) else value.float()
        return states

    def product(linear: nn.Linear, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x.to(torch.bfloat16), rounded[linear.weight], rounded.get(linear.bias))

    def norm(layer: nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
        if x.dtype == torch.bfloat16:
            weight, bias = rounded.get(layer.weight), rounded.get(layer.bias)
            return nn.functional.layer_norm(x, layer.normalized_shape, weight, bias, layer.eps)
        return nn.LayerNorm.forward(layer, x).to(torch.bfloat16)  # of the embeddings

    of_layers: dict[type, Callable[..., Any]] = {nn.Linear: product, nn.LayerNorm: norm}
    layers = {module: partial(of_layers[type(module)], module) for module in places}
    with replaced({encoder: whole, **layers}):
        yield


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
    forwards: dict[nn.Module, Callable[..., Any]] = {}
    if operators._is_mkldnn_bf16_supported():
        for linear in (module for module in model.modules() if isinstance(module, nn.Linear)):
            weight = operators._reorder_linear_weight(linear.weight.detach().to(torch.bfloat16))
            bias = None if linear.bias is None else linear.bias.detach().to(torch.bfloat16)
            forwards[linear] = partial(_multiplied, weight, bias)
    with replaced(forwards):
        yield


def _multiplied(weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
