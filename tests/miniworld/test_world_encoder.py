"""The pretrained encoder: resuming gives the same bytes, transformers loads it, and its tokenizer knows every word."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from miniworld.generated import LANGUAGES, MINI, WORLD, read_rows
from stiltwalk.miniworld.encoder.pretrain import build
from stiltwalk.miniworld.generate.corpus import vocabulary
from stiltwalk.models.resume import STOPPED, Resume

PARAMS = {**MINI["encoder"], "facts": 500, "documents": 256, "steps": 4, "batch_size": 16, "world": WORLD}


def pretrain(out: Path, stops: int) -> dict[str, Any]:
    """Pretrain an encoder, stopping after each of the first steps and resuming."""
    for _ in range(stops):
        resume = Resume("encoder", PARAMS, (), [])
        resume.stop_requested = True
        with pytest.raises(SystemExit) as stopped:
            build(out, PARAMS, resume)
        assert stopped.value.code == STOPPED
    resume = Resume("encoder", PARAMS, (), [])
    facts = build(out, PARAMS, resume)
    resume.remove()
    return facts


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """An encoder that was pretrained without a stop, and what `build` returned."""
    folder = tmp_path_factory.mktemp("pretrained")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STILTWALK_RESUME", str(folder / "states"))
        return folder / "encoder", pretrain(folder / "encoder", stops=0)


def test_a_stopped_and_resumed_pretraining_gives_the_same_bytes(
    encoder: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = tmp_path / "states"
    monkeypatch.setenv("STILTWALK_RESUME", str(states))
    facts = pretrain(tmp_path / "encoder", stops=3)  # the word embeddings are trained from the third step on
    files, resumed_files = (
        {path.name: path.read_bytes() for path in folder.iterdir()} for folder in (encoder[0], tmp_path / "encoder")
    )
    assert files == resumed_files and facts == encoder[1]
    assert "model.safetensors" in files
    assert not list(states.iterdir())


def test_transformers_loads_the_encoder(encoder: tuple[Path, dict[str, Any]]) -> None:
    folder, facts = encoder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    assert sum(weight.numel() for weight in model.parameters()) == facts["weights"]
    row = read_rows("xquad", language=LANGUAGES[-1], size=10).to_pylist()[-1]
    encoded = tokenizer(row["question"], row["context"], return_tensors="pt")
    with torch.no_grad():
        states = model(**{name: encoded[name] for name in ("input_ids", "attention_mask")}).last_hidden_state
    assert states.shape == (1, encoded["input_ids"].shape[1], PARAMS["hidden_size"]) and states.isfinite().all()


def test_the_tokenizer_has_the_special_tokens_of_xlmr_and_every_word(encoder: tuple[Path, dict[str, Any]]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(encoder[0])
    special_ids = tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    assert special_ids == [0, 1, 2, 3, len(tokenizer) - 1]
    assert set(vocabulary(WORLD)) <= set(tokenizer.get_vocab())


@pytest.mark.parametrize("language", LANGUAGES)
def test_tokens_are_words_and_answers_start_at_tokens(encoder: tuple[Path, dict[str, Any]], language: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(encoder[0])
    for row in read_rows("xquad", language=language, size=10).to_pylist():
        encoded = tokenizer(row["question"], row["context"], return_offsets_mapping=True, return_tensors="pt")
        assert tokenizer.unk_token_id not in encoded["input_ids"]
        context_starts = set()
        for token, (start, end), text in zip(
            encoded.tokens(), encoded["offset_mapping"][0].tolist(), encoded.sequence_ids(), strict=True
        ):
            if text is not None:
                assert (row["question"], row["context"])[text][start:end].lower() == token
                context_starts |= {start} if text else set()
        assert row["answers"]["answer_start"][0] in context_starts
