"""Folders with a broken checkpoint: the folder is named, or what is loaded is the checkpoint."""

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
from fuzzing import few_or, fuzz, refused
from stiltwalk.models.checkpoint import check_vocabulary, load_encoder, load_tokenizer
from stiltwalk.tasks.base_tokenize import Tokens

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


@st.composite
def spoils(draw: Any) -> Callable[[Path], Any]:
    """What is done to a folder with a checkpoint that leaves it broken."""
    config = draw(st.sampled_from(CONFIGS))
    share, bits = draw(st.floats(0, 0.999)), draw(st.integers(1, 255))
    value, index = draw(st.sampled_from([math.nan, math.inf, -math.inf])), draw(st.integers(0, 10**6))

    def configure(folder: Path) -> None:
        edit(folder / "config.json", **config)

    def truncate(name: str) -> Callable[[Path], Any]:
        return lambda folder: os.truncate(folder / name, int(share * (folder / name).stat().st_size))

    def flip(folder: Path) -> None:
        """A byte of the header: its length, names, types, shapes and places."""
        data = bytearray((folder / "model.safetensors").read_bytes())
        data[int(share * (8 + int.from_bytes(data[:8], "little")))] ^= bits
        (folder / "model.safetensors").write_bytes(data)

    def weights(change: Callable[[dict[str, torch.Tensor], str], Any]) -> Callable[[Path], Any]:
        def spoil(folder: Path) -> None:
            found = load_file(folder / "model.safetensors")
            change(found, sorted(found)[index % len(found)])
            save_file(found, folder / "model.safetensors", {"format": "pt"})

        return spoil

    def poison(found: dict[str, torch.Tensor], name: str) -> None:
        found[name].view(-1)[index % found[name].numel()] = value

    def cut(found: dict[str, torch.Tensor], name: str) -> None:
        found[name] = found[name][1:].clone()

    files = ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"]
    broken = [configure, flip, weights(lambda found, name: found.pop(name)), weights(poison), weights(cut)]
    broken += [truncate(name) for name in files] + [lambda folder: shutil.copy(folder / files[3], folder / files[0])]
    broken += [lambda folder: (folder / files[int(share * 3)]).write_bytes(bytes([bits])), more_words]
    return draw(st.sampled_from(broken))


def more_words(folder: Path) -> None:
    """The tokenizer of another model."""
    path = folder / "tokenizer.json"
    tree = json.loads(path.read_text())
    tree["model"]["vocab"]["other"] = 25
    path.write_text(json.dumps(tree))


@few_or(400, 30)
def test_a_broken_checkpoint_is_named_and_never_half_loaded(cases: int, toy_folder: Path, tmp_path: Path):
    states, ids = load_encoder(toy_folder).state_dict(), Tokens(toy_folder).ids(["the cat who sees"])

    @fuzz(cases)
    @given(spoils())
    def check(spoil: Callable[[Path], Any]) -> None:
        folder = tmp_path / "encoder"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(toy_folder, folder)
        spoil(folder)
        with refused(str(folder)) as said:
            encoder, tokenizer = load_encoder(folder, 0.0), load_tokenizer(folder)
            check_vocabulary(encoder, tokenizer, folder)
        assert not said or "again" in said[0]
        with refused(str(folder)):  # as the stage that encodes reads it, without transformers
            assert Tokens(folder).ids(["the cat who sees"]) == ids
        if not said:  # what was changed is of no weight
            found = encoder.state_dict()
            assert max(tokenizer.get_vocab().values()) < len(found["embeddings.word_embeddings.weight"])
            assert not encoder.config.is_decoder  # which would hide later words from earlier ones
            assert found.keys() == states.keys() and type(encoder) is XLMRobertaModel
            assert all(torch.equal(found[name], states[name]) for name in states)

    check()
