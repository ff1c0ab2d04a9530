"""An encoder without the layers above the hidden state that is read: ten of 24 layers, if that is the 14th."""

import contextlib
from collections.abc import Iterator

from torch import nn
from transformers import PreTrainedModel
from transformers.utils.output_capturing import maybe_install_capturing_hooks

from stiltwalk.models.architecture import find_layers


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
    module, name = stack
    layers = module.get_submodule(name)
    assert isinstance(layers, nn.ModuleList)
    setattr(module, name, layers[: max(1, hidden_state)])
    try:
        yield
    finally:
        setattr(module, name, layers)


def _layer_stack(encoder: PreTrainedModel) -> tuple[nn.Module, str] | None:
    """Return the module whose only child is the list of layers, as in XLM-R and BERT, and the list's name, or None.

    An encoder with a norm behind its last layer has none: there the last hidden state is not that of a layer.
    """
    found = find_layers(encoder)
    has_norm = any("norm" in type(child).__name__.lower() for child in encoder.children())
    if found is None or has_norm:
        return None
    parent, _, name = found[0].rpartition(".")
    stack = encoder.get_submodule(parent)
    return (stack, name) if parent and len(list(stack.children())) == 1 else None
