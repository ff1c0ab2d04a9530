"""Load and save encoders in the hub's layout: config.json, model.safetensors, tokenizer.json, ..."""

import inspect
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from stiltwalk.models.architecture import (
    attention_of,
    check_is_encoder,
    prepare_languages,
    set_dropout,
)
from stiltwalk.utils.errors import InputError

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
REMEDY = "make, fetch or download the folder again"


def load_encoder(folder: Path, dropout: float | None = None, attention: str = "sdpa") -> PreTrainedModel:
    """Load an encoder from a folder in the hub's layout, with float32 weights.

    Only safetensors are read, and no code in the folder is run.
    dropout: in the encoder's layers; None keeps the encoder's own.
    attention: the implementation, by its name in transformers; an encoder without `sdpa` uses `eager`.
    Raises InputError if the folder does not hold a complete encoder, or if a weight is not finite.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is missing; `dvc repro` runs the stage that makes it")
    if (folder / WEIGHTS_INDEX).is_file():
        read_shard_names(folder / WEIGHTS_INDEX)  # rejects files that transformers must not open
    try:
        config = load_config(folder)
        if dropout is not None:
            set_dropout(config, dropout)
        available = attention_of(config, attention)
        if available != attention and int(os.environ.get("RANK", 0)) == 0:
            print(f"{folder}: a {config.model_type} has no {attention} attention; it uses {available}, which is slower")
        encoder, report = _load_model(folder, config, available)
    except Exception as error:  # a broken config.json makes transformers raise nearly any exception
        raise _load_error(folder, "an encoder", error) from None
    _check_weight_names(folder, encoder, report["missing_keys"], report["unexpected_keys"])
    _check_weights_are_finite(folder, encoder)
    return encoder


def read_shard_names(index: Path) -> list[str]:
    """Return the names of the safetensors files that an index of weights lists.

    Raises InputError if it names anything but a safetensors file in its own folder. transformers would follow a path
    out of the folder, and unpickle a file of another format.
    """
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{index} is not an index of weights; {REMEDY}") from None
    for name in names:
        if not re.fullmatch(r"[\w.-]+\.safetensors", str(name)):
            raise InputError(f"{index} names {name!r}, which is not a safetensors file in the same folder; {REMEDY}")
    return names


def load_config(folder: Path) -> PretrainedConfig:
    """Load config.json. Raises ValueError if it does not describe an encoder, or not the model that was saved."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    check_is_encoder(config)
    if config.pad_token_id is None:
        config.pad_token_id = 0  # the attention mask hides it
    if not 1 <= config.num_hidden_layers <= 1000:
        raise ValueError(f"config.json has {config.num_hidden_layers} layers")
    # The weights of one architecture may fit another that numbers positions differently, without any error.
    for architecture in config.architectures or []:
        saved_type = getattr(getattr(transformers, architecture, None), "config_class", type(config))
        if saved_type is not type(config):
            raise ValueError(f"config.json has model_type {config.model_type}, but architecture {architecture}")
    return config


def _load_model(folder: Path, config: PretrainedConfig, attention: str) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Return the encoder without a pooler, whose weights no head here reads, and transformers' loading report."""
    parameters = inspect.signature(MODEL_MAPPING[type(config)]).parameters  # type: ignore[arg-type]
    options = {"add_pooling_layer": False} if "add_pooling_layer" in parameters else {}
    encoder, report = AutoModel.from_pretrained(
        folder,
        config=config,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,  # if left out, transformers asks on the terminal whether to run the folder's code
        dtype=torch.float32,
        output_loading_info=True,
        attn_implementation=attention,
        **options,
    )
    prepare_languages(encoder)
    return encoder, report


def _check_weight_names(
    folder: Path, encoder: PreTrainedModel, missing_names: set[str], unexpected_names: set[str]
) -> None:
    """Raise InputError unless the file's weights are exactly those that config.json describes.

    A language-model head and a pooler are left out on purpose. Weights of further layers are not.
    """
    if missing_names:
        raise InputError(f"{folder}/{WEIGHTS} lacks {len(missing_names)} weights that its config.json needs; {REMEDY}")
    modules = tuple(f"{name}." for name, _ in encoder.named_children())
    names = (name.removeprefix(f"{encoder.base_model_prefix}.") for name in unexpected_names)
    if extra := [name for name in names if name.startswith(modules) and name.endswith(("weight", "bias"))]:
        raise InputError(f"{folder}/{WEIGHTS} has {len(extra)} weights that its config.json does not know; {REMEDY}")


def _check_weights_are_finite(folder: Path, encoder: PreTrainedModel) -> None:
    for name, weight in encoder.named_parameters():
        if not weight.is_meta and not torch.isfinite(weight).all():
            raise InputError(f"{folder}/{WEIGHTS}: {name} has weights that are not finite; {REMEDY}")


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Load the tokenizer from a folder in the hub's layout. Raises InputError if it has no fast tokenizer."""
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # a broken file makes transformers raise nearly any exception
        raise _load_error(folder, "a tokenizer", error) from None
    if not tokenizer.is_fast:
        raise InputError(
            f"{folder} has no fast tokenizer (tokenizer.json), which character offsets need; use another encoder"
        )
    return tokenizer


def check_vocabulary(encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Raise InputError if the tokenizer has tokens for which the encoder has no embedding."""
    embeddings: Any = encoder.get_input_embeddings()
    rows, tokens = len(embeddings.weight), max(tokenizer.get_vocab().values(), default=-1) + 1
    if tokens > rows:
        raise InputError(
            f"{folder}: the tokenizer has {tokens:,} tokens, but the encoder has embeddings for {rows:,}; {REMEDY}"
        )


def _load_error(folder: Path, what: str, error: Exception) -> InputError:
    message = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return InputError(f"{folder} does not hold {what} that can be loaded: {message}; {REMEDY}")


def save_encoder(encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write an encoder and its tokenizer in the hub's layout."""
    encoder.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def save_checkpoint(
    encoder: PreTrainedModel, weights: Mapping[str, torch.Tensor], start: Path, folder: Path, dtype: str = "float32"
) -> None:
    """Write a trained encoder in the hub's layout, with the tokenizer of the checkpoint that training started from.

    weights: all weights of the encoder, which itself may hold only a shard of them (FSDP).
    start: the folder with the tokenizer. dtype: in which the weights are written, by its name in torch.
    """
    encoder.save_pretrained(folder, state_dict={name: w.to(getattr(torch, dtype)) for name, w in weights.items()})
    encoder.config.dtype = dtype
    encoder.config.save_pretrained(folder)
    for path in start.iterdir():
        if path.name != "config.json" and path.suffix in (".json", ".txt", ".model"):
            shutil.copyfile(path, folder / path.name)
