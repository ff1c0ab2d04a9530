"""A pretrained encoder, and the heads of the tasks that are trained on it."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from common.errors import InputError
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast


def load_encoder(folder: Path, dropout: float | None = None) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The encoder and tokenizer of a folder as the hub lays it out; safetensors only, weights in float32.

    dropout: of hidden states and attention, in place of the encoder's own; None keeps that.
    Raises InputError where the folder does not hold a whole encoder.
    """
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if dropout is not None:
            config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
        model_class = AutoModel._model_mapping[type(config)]
        # A pooler would be one more set of weights that no head here reads.
        pooler = {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(model_class).parameters else {}
        encoder, report = AutoModel.from_pretrained(
            folder, config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **pooler
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(f"{folder} does not hold an encoder that can be loaded: {' '.join(str(error).split())}") from None
    if report["missing_keys"]:
        raise InputError(f"{folder}/model.safetensors lacks {len(report['missing_keys'])} weights of its own config.json")
    if not tokenizer.is_fast:
        raise InputError(f"{folder} has no fast tokenizer (tokenizer.json); character offsets need one")
    return encoder, tokenizer


def save_encoder(encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write encoder and tokenizer as the hub lays them out."""
    encoder.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


class MultiTaskModel(nn.Module):
    """One encoder, one head a task; a batch is of one task."""

    def __init__(self, encoder: PreTrainedModel, heads: Mapping[str, nn.Module]):
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleDict(heads)

    def forward(self, task: str, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Logits of the task's head on the last hidden states (rows x tokens x width)."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return self.heads[task](hidden)


def save_heads(heads: nn.ModuleDict, folder: Path) -> None:
    """Write each task's head to `<task>.safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    for task, head in heads.items():
        weights: dict[str, Any] = {name: value.detach().cpu().contiguous() for name, value in head.state_dict().items()}
        save_file(weights, folder / f"{task}.safetensors")
