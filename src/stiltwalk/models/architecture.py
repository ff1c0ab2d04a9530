"""What an encoder architecture of transformers offers, in one place.

Most facts are read from the configuration and the modules of the encoder, so that an architecture that nobody has tried
here works too. TESTED lists those that were tried, with the speed-ups that change their results by no more than
rounding.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import MODEL_MAPPING, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

from stiltwalk.utils.errors import InputError

HEAD_DROPOUTS = ("classifier", "pooler", "qa", "seq_classif", "summary")
"""Beginnings of the names of dropouts in heads."""


@dataclass(frozen=True)
class Architecture:
    """The speed-ups that were tested with an architecture. Without them it takes the path of plain transformers."""

    bf16_weights: bool = False
    """Weights are rounded to bfloat16 once a pass (perf/bf16_weights.py), in place of autocast."""
    fast_eager: bool = False
    """Its eager attention is the one that perf/fast_dropout.py writes out."""
    cuda_graphs: bool = False
    """Its passes are recorded on a GPU (perf/cuda_graphs.py)."""


LIKE_BERT = Architecture(bf16_weights=True, fast_eager=True, cuda_graphs=True)
TESTED = {
    "bert": LIKE_BERT,
    "camembert": LIKE_BERT,  # RoBERTa under another name; not tested itself
    "deberta-v2": Architecture(),
    "distilbert": Architecture(bf16_weights=True),
    "electra": LIKE_BERT,
    "eurobert": Architecture(),
    "modernbert": Architecture(bf16_weights=True),
    "rembert": Architecture(bf16_weights=True),
    "roberta": LIKE_BERT,
    "xlm-roberta": LIKE_BERT,
    "xlm-roberta-xl": LIKE_BERT,
    "xmod": Architecture(bf16_weights=True),
}


def architecture_of(config: PretrainedConfig) -> Architecture:
    """Return the speed-ups of an encoder; none if its architecture was not tested."""
    return TESTED.get(config.model_type, Architecture())


def check_is_encoder(config: PretrainedConfig) -> None:
    """Raise ValueError if a model of this configuration cannot encode a text in both directions."""
    kind = config.model_type
    if not isinstance(MODEL_MAPPING.get(type(config), None), type):
        raise ValueError(f"transformers has no single model for a {kind}")
    if getattr(config, "is_encoder_decoder", False):
        raise ValueError(f"a {kind} has an encoder and a decoder, but an encoder alone is needed")
    if getattr(config, "is_decoder", False):
        raise ValueError("config.json has is_decoder: true, but an encoder is needed")
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        raise ValueError(f"a {kind} reads a text from left to right only, but an encoder is needed")


def set_dropout(config: PretrainedConfig, probability: float) -> None:
    """Set all dropouts of the encoder: of hidden states, attention, embeddings and feed-forward layers."""
    for name in config.to_dict():
        if "drop" in name and not name.startswith(HEAD_DROPOUTS):
            setattr(config, name, probability)


def attention_of(config: PretrainedConfig, wanted: str) -> str:
    """Return the implementation of attention to use: the one that is wanted, or `eager` if there is no `sdpa`.

    Raises ValueError if the architecture does not have another implementation that is wanted.
    """
    model: Any = MODEL_MAPPING[type(config)]
    available = {
        "sdpa": model._supports_sdpa,
        "flex_attention": model._supports_flex_attn,
        "flash_attention_2": model._supports_flash_attn,
    }
    if available.get(wanted, True):
        return wanted
    if wanted != "sdpa":
        raise ValueError(f"a {config.model_type} has no {wanted}; use training.attention=sdpa")
    return "eager"


def max_tokens(encoder: PreTrainedModel) -> int | None:
    """Return how many tokens the encoder reads; None if nothing limits them."""
    for name, module in encoder.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            first = 0 if module.padding_idx is None else module.padding_idx + 1  # as RoBERTa counts positions
            return module.num_embeddings - first
    limit: int | None = getattr(encoder.config, "max_position_embeddings", None)
    return limit


def undecayed_parameters(model: nn.Module) -> set[str]:
    """Return the names of the parameters that weight decay leaves alone: all of norms, and all biases."""
    names = set()
    for path, module in model.named_modules():
        is_norm = "norm" in type(module).__name__.lower()
        for name, _ in module.named_parameters(recurse=False):
            if is_norm or name.endswith("bias"):
                names.add(f"{path}.{name}".lstrip("."))
    return names


def find_layers(encoder: PreTrainedModel) -> tuple[str, nn.ModuleList] | None:
    """Return the list of the encoder's layers and its path; None if the layers are in no list, as in ALBERT."""
    count = encoder.config.num_hidden_layers
    for path, module in encoder.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count and not path.startswith(("pooler", "embeddings")):
            return path, module
    return None


def attention_linears(layer: nn.Module) -> list[str]:
    """Return the paths of the linear layers of a layer's attention, which LoRA adapts."""
    linears = [path for path, module in layer.named_modules() if isinstance(module, nn.Linear)]
    return [path for path in linears if path.startswith(("attn.", "attention.", "self_attn."))]


def set_language(encoder: PreTrainedModel, language: str) -> None:
    """Choose the parts of an encoder that has some for single languages (X-MOD); change no other encoder."""
    if _has_languages(encoder):
        x_mod: Any = encoder
        x_mod.set_default_language(_language_name(encoder.config, language))


def prepare_languages(encoder: PreTrainedModel) -> None:
    """Choose English in X-MOD, and freeze its embeddings and language adapters, as its authors do in fine-tuning.

    It changes no other encoder.
    """
    if _has_languages(encoder):
        set_language(encoder, "en")
        for name, weight in encoder.named_parameters():
            if name.startswith("embeddings.") or ".adapter_" in name:
                weight.requires_grad_(False)


def check_languages(config: PretrainedConfig, languages: Iterable[str]) -> None:
    """Raise InputError if an encoder with parts for single languages (X-MOD) has none for one of these."""
    if config.model_type == "xmod":
        for language in languages:
            _language_name(config, language)


def language_arguments(encoder: PreTrainedModel, languages: Sequence[str], rows: int) -> dict[str, torch.Tensor]:
    """Return the argument that names the language of every sequence to an encoder such as X-MOD; empty for all others.

    languages: of each of a row's sequences. rows: the number of rows.
    """
    if not _has_languages(encoder):
        return {}
    known = list(encoder.config.languages)
    ids = [known.index(_language_name(encoder.config, language)) for language in languages]
    return {"lang_ids": torch.tensor(ids * rows, device=encoder.device)}


def _has_languages(encoder: PreTrainedModel) -> bool:
    return hasattr(encoder, "set_default_language")


def _language_name(config: PretrainedConfig, language: str) -> str:
    """Return X-MOD's name of a language, such as de_DE for de. Raises InputError if it does not have it."""
    names = {str(name).split("_")[0]: str(name) for name in config.languages}
    if language not in names:
        raise InputError(
            f"this {config.model_type} has no adapter for the language '{language}'; leave it out of "
            f"xtreme.<target>.languages, or use another encoder; it has {', '.join(sorted(names))}"
        )
    return names[language]


def norm_epsilon(config: PretrainedConfig) -> float:
    """Return the epsilon of the encoder's norms."""
    names = ("layer_norm_eps", "norm_eps", "rms_norm_eps")
    return next((getattr(config, name) for name in names if getattr(config, name, None)), 1e-12)
