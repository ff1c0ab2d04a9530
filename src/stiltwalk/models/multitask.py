"""One encoder, and the heads of the tasks that are trained on it."""

from collections.abc import Mapping

import torch
from torch import nn
from transformers import PreTrainedModel

from stiltwalk.models.architecture import find_layers
from stiltwalk.tasks.base_head import TaskHead


class MultiTaskModel(nn.Module):
    """One encoder with one head per task. Every batch belongs to one task."""

    def __init__(self, encoder: PreTrainedModel, heads: Mapping[str, TaskHead]):
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleDict(heads)
        found = find_layers(encoder)
        self._no_split_modules = [type(found[1][0]).__name__] if found else []
        """The class of the layers, which FSDP shards one by one; Accelerate looks for this name."""

    def forward(
        self, name: str, input_ids: torch.Tensor, attention_mask: torch.Tensor, mlm_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the logits of the head of task `name`, from the hidden state that it reads.

        input_ids, attention_mask, mlm_mask: sequences x tokens. With an `mlm_mask` the head reads only the tokens where
        it is 1.
        """
        head = self.head(name)
        if head.hidden_state is None:
            hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        else:
            outputs = self.encoder(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
            hidden = outputs.hidden_states[head.hidden_state]
        if mlm_mask is not None:
            hidden = hidden[mlm_mask.bool()]
        return head(hidden, attention_mask)

    def head(self, name: str) -> TaskHead:
        """Return the head of a task."""
        head = self.heads[name]
        assert isinstance(head, TaskHead)
        return head


def submodule_weights(weights: Mapping[str, torch.Tensor], module: str) -> dict[str, torch.Tensor]:
    """Return the weights of one module of a model, under their names in that module.

    weights: of the whole model, by name. module: its path, such as `encoder` or `heads.mnli`.
    """
    prefix = f"{module}."
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
