"""Broken checkpoints: an error names the folder, or the original weights are loaded."""

import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import XLMRobertaModel

from conftest import edit
from fuzzing import case_counts, fuzz, refused
from stiltwalk.models.checkpoint import check_vocabulary, load_encoder, load_tokenizer
from stiltwalk.tasks.base_data.row_tokenizer import SubwordTokenizer

CONFIGS: list[dict[str, Any]] = [
    {"model_type": model}
    for model in ("bert", "gpt2", "roberta", "distilbert", "t5", "electra", "none", None, 1, "../x")
]
CONFIGS += [{"num_hidden_layers": number} for number in (-1, 0, 1, 3, 10**9, "2", None, 2.5, math.nan)]
CONFIGS += [{"vocab_size": number} for number in (-1, 0, 5, 24, 26, 1000, "25", None)]
CONFIGS += [{"hidden_size": number} for number in (0, 16, 31, 64, -32, [32])]
CONFIGS += [{"num_attention_heads": number} for number in (0, 3, -2, None)]
CONFIGS += [{"pad_token_id": number} for number in (None, -5, 25, "1")]
CONFIGS += [{"is_decoder": True}, {"hidden_act": "x"}, {"intermediate_size": 65}, {"max_position_embeddings": 2}]
CONFIGS += [{"architectures": ["BertModel"]}, {"type_vocab_size": 2}, {"hidden_dropout_prob": "x"}]


TEXT = ["the cat who sees"]
FILES = ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"]
Change = Callable[[Path], Any]
WeightsChange = Callable[[dict[str, torch.Tensor], str], Any]


def truncate(name: str, share: float) -> Change:
    """Keep only a share of a file."""
    return lambda folder: os.truncate(folder / name, int(share * (folder / name).stat().st_size))


def flip_header_bits(share: float, bits: int) -> Change:
    """Change a byte of the safetensors header, which holds its length, and the names, types, shapes and offsets."""

    def change(folder: Path) -> None:
        data = bytearray((folder / "model.safetensors").read_bytes())
        data[int(share * (8 + int.from_bytes(data[:8], "little")))] ^= bits
        (folder / "model.safetensors").write_bytes(data)

    return change


def change_weights(change: WeightsChange, index: int) -> Change:
    """Apply a change to one of the weights."""

    def change_file(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights, sorted(weights)[index % len(weights)])
        save_file(weights, folder / "model.safetensors", {"format": "pt"})

    return change_file


def set_element(value: float, index: int) -> WeightsChange:
    def change(weights: dict[str, torch.Tensor], name: str) -> None:
        weights[name].view(-1)[index % weights[name].numel()] = value

    return change


def remove_row(weights: dict[str, torch.Tensor], name: str) -> None:
    weights[name] = weights[name][1:].clone()


def add_token(folder: Path) -> None:
    """Give the folder the tokenizer of another model, with one token more."""
    path = folder / "tokenizer.json"
    tree = json.loads(path.read_text())
    tree["model"]["vocab"]["other"] = 25
    path.write_text(json.dumps(tree))


@st.composite
def changes(draw: Any) -> Change:
    """A change that breaks a folder with a checkpoint."""
    config = draw(st.sampled_from(CONFIGS))
    share, bits = draw(st.floats(0, 0.999)), draw(st.integers(1, 255))
    value, index = draw(st.sampled_from([math.nan, math.inf, -math.inf])), draw(st.integers(0, 10**6))
    options: list[Change] = [
        lambda folder: edit(folder / "config.json", **config),
        flip_header_bits(share, bits),
        change_weights(lambda weights, name: weights.pop(name), index),
        change_weights(set_element(value, index), index),
        change_weights(remove_row, index),
        *(truncate(name, share) for name in FILES),
        lambda folder: shutil.copy(folder / "tokenizer_config.json", folder / "model.safetensors"),
        lambda folder: (folder / FILES[int(share * 3)]).write_bytes(bytes([bits])),
        add_token,
    ]
    return draw(st.sampled_from(options))


@case_counts(400, 30)
def test_a_broken_checkpoint_gives_an_error_and_is_never_partly_loaded(cases: int, toy_folder: Path, tmp_path: Path):
    weights, ids = load_encoder(toy_folder).state_dict(), SubwordTokenizer(toy_folder).ids(TEXT)

    @fuzz(cases)
    @given(changes())
    def check(change: Change) -> None:
        folder = tmp_path / "encoder"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(toy_folder, folder)
        change(folder)
        with refused(str(folder)) as errors:
            encoder, tokenizer = load_encoder(folder, 0.0), load_tokenizer(folder)
            check_vocabulary(encoder, tokenizer, folder)
        assert not errors or "again" in errors[0]
        with refused(str(folder)):  # as the tokenising stages read it, without transformers
            assert SubwordTokenizer(folder).ids(TEXT) == ids
        if not errors:  # the change does not affect any weight
            loaded = encoder.state_dict()
            assert max(tokenizer.get_vocab().values()) < len(loaded["embeddings.word_embeddings.weight"])
            assert not encoder.config.is_decoder  # a decoder would hide later tokens from earlier ones
            assert loaded.keys() == weights.keys() and type(encoder) is XLMRobertaModel
            assert all(torch.equal(loaded[name], weights[name]) for name in weights)

    check()
