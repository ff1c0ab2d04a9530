"""What is said of an architecture holds for tiny random encoders of it, with a real tokenizer of its family."""

import contextlib
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from transformers import AutoModel, GPT2Config, LlamaConfig, T5Config

from conftest import make_table, random_sentences, reset_accelerate, tokenized
from encoders import ENCODERS, make_encoder_folder
from stiltwalk.models.architecture import (
    TESTED,
    attention_linears,
    check_is_encoder,
    find_layers,
    language_arguments,
    max_tokens,
    set_language,
    undecayed_parameters,
)
from stiltwalk.models.checkpoint import load_encoder, save_checkpoint
from stiltwalk.models.resume import Resume
from stiltwalk.models.sentence_vectors import SentenceEmbedder
from stiltwalk.perf.bf16_inference import inference_forward
from stiltwalk.sweep import calibrate
from stiltwalk.tasks.base_data.row_tokenizer import SubwordTokenizer
from stiltwalk.training.settings import Settings
from stiltwalk.training.trainer import Trainer
from stiltwalk.utils.errors import InputError
from toy import SETTINGS, choices, fit, masked_words, nli, questions, tags, toy_accelerator, word_pairs


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that makes the folder of an architecture once."""
    return cache(lambda name: make_encoder_folder(name, tmp_path_factory.mktemp(name)))


def test_every_supported_architecture_is_tested_here():
    assert set(ENCODERS) == set(TESTED) - {"camembert"}  # CamemBERT is RoBERTa under another name


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_loads_and_its_checkpoint_loads_in_transformers(folders, name, tmp_path):
    encoder = load_encoder(folders(name), dropout=0.3)
    dropouts = {module.p for module in encoder.modules() if isinstance(module, torch.nn.Dropout)}
    assert dropouts == {0.3} or not dropouts
    assert max_tokens(encoder) == (62 if name in ("xlm-roberta", "xlm-roberta-xl", "roberta", "xmod") else 64)
    save_checkpoint(encoder, encoder.state_dict(), folders(name), tmp_path / "checkpoint")
    theirs = AutoModel.from_pretrained(tmp_path / "checkpoint").state_dict()
    for weight_name, weight in encoder.state_dict().items():
        assert torch.equal(theirs[weight_name], weight)
    found = find_layers(encoder)
    assert found and len(found[1]) == 3 and attention_linears(found[1][0])
    undecayed = undecayed_parameters(encoder)
    for weight_name, weight in encoder.named_parameters():
        assert (weight_name in undecayed) == (weight.dim() == 1), weight_name


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("name", ENCODERS)
def test_hidden_states_of_a_padded_batch_are_those_of_single_sentences(folders, name, precision):
    """Compared with a plain forward pass of transformers in float32."""
    subwords, encoder = SubwordTokenizer(folders(name)), load_encoder(folders(name))
    sentences = random_sentences(12, 1)
    table = make_table("mlm", [{"text": text} for text in sentences])
    rows = tokenized("mlm", table, False, {"max_length": 48, "mask": 0.1}, subwords)
    reset_accelerate()
    settings = Settings.read(SETTINGS | {"mixed_precision": precision})
    with toy_accelerator(settings) as accelerator, inference_forward(accelerator, encoder) as forward:
        batch = rows.tensors(range(12), encoder.config.pad_token_id)
        states = forward(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    reset_accelerate()
    plain = AutoModel.from_pretrained(folders(name)).eval()
    set_language(plain, "en")
    tolerance = 1e-5 if precision == "no" else 0.06
    with torch.no_grad():
        for row, ids in enumerate(rows.lists("input_ids")):
            expected = plain(input_ids=torch.from_numpy(ids.astype("int64"))[None]).last_hidden_state[0]
            torch.testing.assert_close(states[row, : len(ids)].float(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ENCODERS)
def test_tasks_of_all_kinds_train(folders, name):
    subwords, encoder = SubwordTokenizer(folders(name)), load_encoder(folders(name), dropout=0.1)
    kinds = ((nli, "accuracy"), (tags, "f1"), (questions, "exact"), (choices, "accuracy"), (masked_words, "accuracy"))
    for make, metric in kinds:
        before = {name: weight.clone() for name, weight in encoder.named_parameters()}
        weights, scores = fit(encoder, {"toy": make(16, subwords)}, epochs=1, prediction_tokens=200, dropout=0.1)
        assert metric in scores["toy"]
        changed = [key for key, weight in before.items() if not torch.equal(weights[f"encoder.{key}"], weight)]
        assert len(changed) > len(before) / 3
        assert all(torch.isfinite(weight).all() for weight in weights.values())


@pytest.mark.parametrize("name", ENCODERS)
def test_a_lexical_injection_changes_the_attention_of_one_layer(folders, name):
    subwords, encoder = SubwordTokenizer(folders(name)), load_encoder(folders(name), dropout=0.0)
    data, before = word_pairs(subwords), {key: weight.clone() for key, weight in encoder.state_dict().items()}
    settings = Settings.read(SETTINGS | {"batch_size": 6, "epochs": 4})
    with toy_accelerator(settings) as accelerator, data.task.adapting(accelerator, encoder, data, 64) as cosines:
        Trainer(accelerator, encoder, {"tli": data}, settings, 5, "tli").train()
    changed = {key for key, weight in encoder.state_dict().items() if not torch.equal(before[key], weight)}
    found = find_layers(encoder)
    assert found and changed
    assert changed <= {f"{found[0]}.1.{path}.weight" for path in attention_linears(found[1][1])}
    assert all(len(values) == 4 for values in cosines.values())


@pytest.mark.parametrize("name", ENCODERS)
def test_a_stopped_training_resumes_to_the_same_weights(folders, name, tmp_path, monkeypatch):
    monkeypatch.setenv("STILTWALK_RESUME", str(tmp_path))
    subwords, settings = SubwordTokenizer(folders(name)), Settings.read(SETTINGS | {"dropout": 0.1})

    def train(*, stop: bool, resume: Resume | None) -> Any:
        if resume:
            resume.stop_requested = stop
        encoder = load_encoder(folders(name), dropout=0.1)
        with toy_accelerator(settings) as accelerator:
            trainer = Trainer(accelerator, encoder, {"tags": tags(24, subwords)}, settings, 5, "toy", resume)
            return trainer.train().model.state_dict()

    whole = train(stop=False, resume=None)
    with pytest.raises(SystemExit):
        train(stop=True, resume=Resume("toy", name, (), []))
    parts = train(stop=False, resume=Resume("toy", name, (), []))
    assert all(torch.equal(parts[key], weight) for key, weight in whole.items())


@pytest.mark.parametrize("name", ENCODERS)
def test_training_in_bfloat16_learns(folders, name):
    subwords, encoder = SubwordTokenizer(folders(name)), load_encoder(folders(name), dropout=0.0)
    reset_accelerate()
    _, scores = fit(encoder, {"tags": tags(48, subwords)}, epochs=6, mixed_precision="bf16", prediction_tokens=400)
    reset_accelerate()
    assert scores["tags"]["f1"] > 80


@pytest.mark.parametrize("name", ENCODERS)
def test_training_on_used_embedding_rows_is_training_on_all(folders, name, monkeypatch):
    subwords, trained = SubwordTokenizer(folders(name)), []
    settings = Settings.read(SETTINGS | {"weight_decay": 0.1})
    for whole in (False, True):
        if whole:
            monkeypatch.setattr("stiltwalk.training.trainer.used_embedding_rows", lambda *_: contextlib.nullcontext())
        encoder = load_encoder(folders(name), dropout=0.0)
        with toy_accelerator(settings) as accelerator:
            Trainer(accelerator, encoder, {"nli": nli(24, subwords)}, settings, 5, "nli").train()
        trained.append(encoder.state_dict())
    for key, weight in trained[1].items():
        torch.testing.assert_close(trained[0][key], weight, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ENCODERS)
def test_sentence_vectors_of_one_hidden_state_are_those_of_all(folders, name):
    subwords, encoder = SubwordTokenizer(folders(name)), load_encoder(folders(name))
    pairs = make_table(
        "retrieval",
        [{"source": a, "target": b} for a, b in zip(random_sentences(4, 3), random_sentences(4, 4), strict=True)],
    )
    rows = tokenized("retrieval", pairs, False, {"max_length": 32}, subwords)
    settings = Settings.read(SETTINGS)
    with toy_accelerator(settings) as accelerator:
        embedder = SentenceEmbedder("retrieval", 1.0, "mean")
        together = embedder.embed(accelerator, encoder, rows, 64, range(4), ("de", "en"))
        for state in range(4):
            alone = embedder.embed(accelerator, encoder, rows, 64, [state], ("de", "en"))
            torch.testing.assert_close(alone[0], together[state], rtol=1e-5, atol=1e-6)


def test_an_encoder_with_parts_for_languages_uses_those_of_each_sentence(folders):
    encoder = load_encoder(folders("xmod"))
    assert language_arguments(encoder, ("de", "en"), 2)["lang_ids"].tolist() == [1, 0, 1, 0]
    assert language_arguments(load_encoder(folders("bert")), ("de", "en"), 2) == {}
    trained = {name for name, weight in encoder.named_parameters() if weight.requires_grad}
    assert trained and not any("embeddings" in name or "adapter_modules" in name for name in trained)
    set_language(encoder, "de")
    assert encoder.config.default_language == "de_DE"
    with pytest.raises(
        InputError, match=r"this xmod has no adapter for the language 'sw'; leave it out of .*; it has de, en, qaa"
    ):
        set_language(encoder, "sw")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (GPT2Config(), "a gpt2 reads a text from left to right only"),
        (LlamaConfig(), "a llama reads a text from left to right only"),
        (T5Config(), "a t5 has an encoder and a decoder"),
    ],
)
def test_what_is_no_encoder_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        check_is_encoder(config)
    with pytest.raises(ValueError, match="is_decoder: true"):
        check_is_encoder(LlamaConfig.from_dict({"is_decoder": True}))


@pytest.mark.parametrize("name", ["modernbert", "eurobert", "roberta"])
def test_words_are_tagged_with_the_space_before_them_where_it_matters(folders, name):
    subwords = SubwordTokenizer(folders(name))
    assert subwords.word_space == " "
    words = ["the", "cat", "sees"]
    rows = tokenized("tagging", make_table("tagging", [{"tokens": words, "tags": ["X"] * 3}]), True,
                     {"labels": ["X"], "max_length": 32}, subwords)  # fmt: skip
    (text,) = subwords.ids([" the cat sees"], 32)
    assert next(rows.lists("input_ids")).tolist() == text


@pytest.mark.parametrize("name", ["bert", "xlm-roberta"])
def test_other_tokenizers_get_words_as_they_are(folders, name):
    assert SubwordTokenizer(folders(name)).word_space == ""


def test_special_tokens_are_those_that_the_tokenizer_adds(folders: Any, tmp_path: Path):
    subwords = SubwordTokenizer(folders("modernbert"))  # without the names cls_token and sep_token
    ids = subwords.ids(["the cat"])[0]
    assert [ids[0]] == subwords.prefix and [ids[-1]] == subwords.suffix
    assert {*subwords.prefix, *subwords.suffix, subwords.mask} <= subwords.special
    table = pa.table({"text": ["the cat sees Anna"] * 3})
    masked = tokenized("mlm", table, True, {"max_length": 16, "mask": 0.3}, subwords)
    assert all(ids[0] == subwords.prefix[0] for ids in masked.lists("input_ids"))


@pytest.mark.parametrize("name", ENCODERS)
def test_the_cost_of_every_architecture_can_be_measured(folders, name):
    config, rows = calibrate.architecture({"source": "hub", "path": str(folders(name)), "revision": "main"}), 2
    spec = {"training": SETTINGS | {"batch_size": 8}}
    seconds, weights = calibrate.time_training(spec, config, calibrate.random_rows(config.vocab_size), rows)
    assert seconds > 0 and weights > 10_000


def test_attention_falls_back_to_eager_and_says_so(folders, capsys):
    assert load_encoder(folders("rembert")).config._attn_implementation == "eager"
    assert "a rembert has no sdpa attention; it uses eager, which is slower" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"a rembert has no flex_attention; use training.attention=sdpa"):
        load_encoder(folders("rembert"), attention="flex_attention")
