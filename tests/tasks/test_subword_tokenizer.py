"""The subword tokenizer gives the same token ids as transformers."""

import json
import shutil

import pytest

from conftest import random_sentences
from stiltwalk.tasks.base_data.row_tokenizer import SubwordTokenizer
from stiltwalk.utils.errors import InputError


@pytest.mark.parametrize("length", [6, 11, 40])
def test_pairs_are_truncated_as_in_transformers(subwords, tokenizer, length):
    pairs = list(zip(random_sentences(60, 0), random_sentences(60, 1), strict=True))
    expected = tokenizer(*map(list, zip(*pairs, strict=True)), truncation="longest_first", max_length=length)
    assert subwords.ids(pairs, length) == expected["input_ids"]
    assert subwords.mask == tokenizer.mask_token_id and subwords.size == len(tokenizer)


def test_a_folder_without_a_tokenizer_is_named(tmp_path):
    with pytest.raises(InputError, match=f"^{tmp_path} has no tokenizer that can be loaded"):
        SubwordTokenizer(tmp_path)


def test_a_tokenizer_that_puts_no_token_before_a_text_is_refused(toy_folder, tmp_path):
    shutil.copytree(toy_folder, tmp_path / "toy")
    tree = json.loads((toy_folder / "tokenizer.json").read_text())
    (tmp_path / "toy/tokenizer.json").write_text(json.dumps(tree | {"post_processor": None}))
    with pytest.raises(InputError, match=r"tokenizer.json puts no token such as <s> before a text, which heads read"):
        SubwordTokenizer(tmp_path / "toy")


def test_a_length_that_the_encoder_cannot_read_is_refused(toy_folder, tmp_path):
    shutil.copytree(toy_folder, tmp_path / "short")
    config = json.loads((toy_folder / "tokenizer_config.json").read_text())
    (tmp_path / "short/tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": 9}))
    message = "params.yaml: a max_length under kinds is 10; the encoder reads at most 9 tokens"
    with pytest.raises(InputError, match=message):
        SubwordTokenizer(tmp_path / "short").ids(["the cat"], 10)


def test_a_text_that_leaves_no_room_is_named(subwords):
    with pytest.raises(InputError, match=r"max_length 8 leaves no room for \('the', 'cat cat"):
        subwords.ids([("the", "dog"), ("the", " ".join(["cat"] * 9))], 8, "only_first")
