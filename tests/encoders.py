"""Tiny random encoders of many architectures, each with a fast tokenizer of its family."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from conftest import random_sentences

SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
# By `model_type`: the family of its tokenizer, and what its configuration has besides the shape.
ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "xlm-roberta": ("unigram", {"type_vocab_size": 1}),
    "xlm-roberta-xl": ("unigram", {"type_vocab_size": 1}),
    "bert": ("wordpiece", {}),
    "roberta": ("byte-level", {"type_vocab_size": 1}),
    "distilbert": ("wordpiece", {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48}),
    "modernbert": ("gemma", {"global_attn_every_n_layers": 3, "local_attention": 8}),
    "deberta-v2": (
        "unigram",
        {
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 8,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
    ),
    "rembert": ("unigram", {"input_embedding_size": 16, "output_embedding_size": 24}),
    "electra": ("wordpiece", {"embedding_size": 16}),
    "xmod": ("unigram", {"type_vocab_size": 1, "languages": ["en_XX", "de_DE", "qaa_XX"]}),
    "eurobert": ("byte-level", {"num_key_value_heads": 2}),
}
SPECIAL = {  # by family: the token before a text, the one behind it, padding, unknown and mask
    "unigram": ("<s>", "</s>", "<pad>", "<unk>", "<mask>"),
    "wordpiece": ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"),
    "byte-level": ("<s>", "</s>", "<pad>", "", "<mask>"),
    "gemma": ("<bos>", "<eos>", "<pad>", "<unk>", "<mask>"),
}


def make_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """Train a tokenizer of a family on the sentences of the tests. Byte-level BPE and Gemma's have no cls and sep."""
    first, last, padding, unknown, mask = SPECIAL[family]
    special = [token for token in (first, padding, last, unknown, mask) if token]
    sentences = [*random_sentences(200, 0), "Anna's cat, 7 dogs! שלום"]
    if family == "unigram":
        backend = _unigram(special, sentences)
    else:
        backend, trainer = _untrained(family, special, unknown)
        backend.train_from_iterator(sentences, trainer)
    pair = f"{first} $A {last} {last} $B {last}" if family == "unigram" else f"{first} $A {last} $B {last}"
    numbers = [(token, backend.token_to_id(token)) for token in (first, last)]
    backend.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", pair=pair, special_tokens=numbers
    )
    names = {"pad_token": padding, "mask_token": mask, "bos_token": first, "eos_token": last}
    names |= {"unk_token": unknown} if unknown else {}
    names |= {"cls_token": first, "sep_token": last} if family in ("unigram", "wordpiece") else {}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def make_encoder_folder(model_type: str, folder: Path) -> Path:
    """Write a random encoder of an architecture and its tokenizer in the hub's layout."""
    family, options = ENCODERS[model_type]
    tokenizer = make_tokenizer(family)
    ids = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id}
    ids |= {"eos_token_id": tokenizer.eos_token_id}
    config = AutoConfig.for_model(model_type, vocab_size=len(tokenizer), **SHAPE | ids | options)
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _unigram(special: list[str], sentences: list[str]) -> Tokenizer:
    """Words and characters as pieces; training on so few sentences would keep hardly any word."""
    text = " ".join(sentences)
    pieces = [*(f"▁{word}" for word in sorted(set(text.split()))), *sorted(set(text.replace(" ", "▁")))]
    scores = {piece: -2.0 - len(piece) / 10 if len(piece) > 1 else -9.0 for piece in pieces}
    vocabulary = [*((token, 0.0) for token in special), *scores.items()]
    backend = Tokenizer(models.Unigram(vocabulary, unk_id=special.index("<unk>")))
    backend.add_special_tokens(special)
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    return backend


def _untrained(family: str, special: list[str], unknown: str) -> tuple[Tokenizer, trainers.Trainer]:
    size: dict[str, Any] = {"vocab_size": 300, "special_tokens": special, "show_progress": False}
    if family == "wordpiece":
        backend = Tokenizer(models.WordPiece(unk_token=unknown))
        backend.normalizer = normalizers.BertNormalizer(lowercase=False)
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        return backend, trainers.WordPieceTrainer(**size)
    if family == "byte-level":
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        return backend, trainers.BpeTrainer(**size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(unk_token=unknown, byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("(?=▁)"), "isolated")
    return backend, trainers.BpeTrainer(**size)
