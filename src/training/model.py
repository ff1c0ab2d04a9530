"""One encoder, and the heads of the tasks that are trained on it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel


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


def save_heads(heads: nn.ModuleDict, folder: Path) -> None:
    """Write each task's head to `<task>.safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    for task, head in heads.items():
        weights: dict[str, Any] = {name: value.detach().cpu().contiguous() for name, value in head.state_dict().items()}
        save_file(weights, folder / f"{task}.safetensors")
