"""Encoders in folders as the hub lays them out: config.json, model.safetensors, tokenizer.json, ..."""

import inspect
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import MODEL_MAPPING, AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from stiltwalk.utils.errors import InputError

INDEX = "model.safetensors.index.json"
REPAIR = "make, fetch or download the folder again"


def load_encoder(folder: Path, dropout: float | None = None, attention: str = "sdpa") -> PreTrainedModel:
    """The encoder of a folder as the hub lays it out; safetensors only, weights in float32, none of its code is run.

    dropout: of hidden states and attention, in place of the encoder's own; None keeps that.
    attention: transformers' name of an implementation.
    Raises InputError where the folder does not hold a whole encoder, its weights not a number among them.
    """
    if (folder / INDEX).is_file():
        shards(folder / INDEX)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        _check_config(config)
        if dropout is not None:
            config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
        # A pooler would be one more set of weights that no head here reads.
        has_pooler = "add_pooling_layer" in inspect.signature(MODEL_MAPPING[type(config)]).parameters  # type: ignore[arg-type]
        pooler = {"add_pooling_layer": False} if has_pooler else {}
        encoder, report = AutoModel.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,  # without it transformers asks on the terminal whether to run the folder's code
            dtype=torch.float32,
            output_loading_info=True,
            attn_implementation=attention,
            **pooler,
        )
    except Exception as error:  # a broken config.json makes transformers raise nearly anything
        raise _unreadable(folder, "an encoder", error) from None
    if report["missing_keys"]:
        raise InputError(
            f"{folder}/model.safetensors lacks {len(report['missing_keys'])} weights of its own config.json; {REPAIR}"
        )
    # A language-model head or a pooler is left out on purpose, a layer is not.
    own = tuple(f"{name}." for name, _ in encoder.named_children())
    names = (name.removeprefix(f"{encoder.base_model_prefix}.") for name in report["unexpected_keys"])
    if left := [name for name in names if name.startswith(own) and name.endswith(("weight", "bias"))]:
        raise InputError(
            f"{folder}/model.safetensors has {len(left)} weights that its own config.json knows nothing of; {REPAIR}"
        )
    odd = (name for name, w in encoder.named_parameters() if not w.is_meta and not torch.isfinite(w).all())
    if name := next(odd, None):
        raise InputError(f"{folder}/model.safetensors: {name} has weights that are not finite; {REPAIR}")
    return encoder


def shards(index: Path) -> list[str]:
    """The files that an index of weights names; InputError where one is no safetensors file beside it.

    transformers would unpickle another one, and follow a path out of the folder.
    """
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{index} is no index of weights") from None
    for name in names:
        if not re.fullmatch(r"[\w.-]+\.safetensors", str(name)):
            raise InputError(f"{index} names {name!r}, which is no safetensors file beside it")
    return names


def _check_config(config: Any) -> None:
    """ValueError where config.json is not an encoder's, or not that of the model which was saved."""
    known = {name: getattr(config, name, None) for name in ("hidden_dropout_prob", "pad_token_id")}
    if lacking := [name for name, value in known.items() if value is None]:
        raise ValueError(f"a {config.model_type} without {lacking[0]} is no encoder such as XLM-R or BERT")
    if getattr(config, "is_decoder", False):
        raise ValueError("config.json has is_decoder: true, and an encoder is needed")
    if not 1 <= config.num_hidden_layers <= 1000:
        raise ValueError(f"config.json has {config.num_hidden_layers} layers")
    # Weights of one architecture may fit another, which counts positions otherwise, without an error.
    for name in config.architectures or []:
        saved = getattr(getattr(transformers, name, None), "config_class", type(config))
        if saved is not type(config):
            raise ValueError(f"config.json has the model_type {config.model_type} and the architecture {name}")


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a folder as the hub lays it out; InputError where it has no fast one."""
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # as above
        raise _unreadable(folder, "a tokenizer", error) from None
    if not tokenizer.is_fast:
        raise InputError(f"{folder} has no fast tokenizer (tokenizer.json); character offsets need one")
    return tokenizer


def check_vocabulary(encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """InputError where the tokenizer has tokens that the encoder has no embedding for."""
    embeddings: Any = encoder.get_input_embeddings()
    rows, tokens = len(embeddings.weight), max(tokenizer.get_vocab().values(), default=-1) + 1
    if tokens > rows:
        raise InputError(
            f"{folder}: the tokenizer has {tokens:,} tokens, the encoder embeddings for {rows:,}; {REPAIR}"
        )


def _unreadable(folder: Path, what: str, error: Exception) -> InputError:
    said = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"{folder} does not hold {what} that can be loaded: {said}; {REPAIR}")


def save_encoder(encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write encoder and tokenizer as the hub lays them out."""
    encoder.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def save_checkpoint(
    encoder: PreTrainedModel, weights: Mapping[str, torch.Tensor], start: Path, folder: Path, dtype: str = "float32"
) -> None:
    """Write a trained encoder, and beside it the tokenizer of the folder that training started from.

    weights: all of the encoder's, which itself may have a part of them (FSDP). dtype: torch's name of what they are
    written in.
    """
    encoder.save_pretrained(folder, state_dict={name: w.to(getattr(torch, dtype)) for name, w in weights.items()})
    encoder.config.dtype = dtype
    encoder.config.save_pretrained(folder)
    for path in start.iterdir():
        if path.name != "config.json" and path.suffix in (".json", ".txt", ".model"):
            shutil.copyfile(path, folder / path.name)
