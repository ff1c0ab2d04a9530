"""An encoder without the layers above the hidden state that is read: ten of 24 layers, if that is the 14th."""

import contextlib
from collections.abc import Iterator

from torch import nn
from transformers import PreTrainedModel
from transformers.utils.output_capturing import maybe_install_capturing_hooks


@contextlib.contextmanager
def truncated_encoder(encoder: PreTrainedModel, hidden_state: int) -> Iterator[None]:
    """Context manager in which the encoder ends with this hidden state.

    An encoder whose layers cannot be cut is left whole: see `_layer_stack`.
    """
    stack = _layer_stack(encoder)
    if stack is None:
        yield
        return
    # transformers installs these hooks once, in the first pass. They must be on all layers.
    maybe_install_capturing_hooks(encoder)
    layers = stack.get_submodule("layer")
    assert isinstance(layers, nn.ModuleList)
    stack.layer = layers[: max(1, hidden_state)]
    try:
        yield
    finally:
        stack.layer = layers


def _layer_stack(encoder: PreTrainedModel) -> nn.Module | None:
    """Return the module whose only child is the list `layer`, as in XLM-R and BERT, or None.

    An encoder with a layer norm behind its last layer has none: there the last hidden state is not that of a layer.
    """
    children = dict(encoder.named_children())
    stack = children.get("encoder")
    if stack is None or "LayerNorm" in children:
        return None
    parts = dict(stack.named_children())
    return stack if list(parts) == ["layer"] and isinstance(parts["layer"], nn.ModuleList) else None
