"""The generated world: rows that are right in every language, splits that do not meet, bytes that do not change."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from common.errors import InputError
from common.tables import SCHEMAS
from sources.world import TASKS, read
from sources.world.corpus import vocabulary

KINDS = {"mnli": "pair", "squad": "qa", "xnli": "pair", "udpos": "tagging", "xquad": "qa", "tatoeba": "retrieval"}
TAGS = set("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split())  # noqa: SIM905
MINI = yaml.safe_load((Path(__file__).parents[1] / "conf/scale/mini.yaml").read_text(encoding="utf-8"))
WORLD: dict[str, Any] = MINI["world"]
LANGUAGES = ["en", *WORLD["languages"]]


def rows(
    task: str, split: str = "test", language: str = "en", size: int = 30, world: dict[str, Any] = WORLD
) -> pa.Table:
    sample = {"train": size, "validation": size, "test": size, "seed": 0}
    return read(task, {"kind": KINDS[task], "sample": sample, "world": world}, split, language)[0]


def digest(table: pa.Table) -> str:
    return hashlib.sha256(repr(table.to_pylist()).encode()).hexdigest()


@pytest.mark.parametrize("task", KINDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_task_has_its_schema_and_size_in_every_language(task: str, language: str) -> None:
    table = rows(task, language=language, size=9)
    assert table.schema == SCHEMAS[KINDS[task]]
    assert len(table) == 9
    assert all(value is not None for column in table.columns for value in column.to_pylist())


def test_all_tasks_are_covered() -> None:
    assert set(KINDS) == set(TASKS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_answers_stand_at_their_offsets_as_whole_words(language: str) -> None:
    for row in rows("xquad", language=language).to_pylist():
        (text,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
        context, end = row["context"], start + len(text)
        assert text and context[start:end] == text
        assert start == 0 or context[start - 1] == " "
        assert context[end] in " ."


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_parallel_tests_align(language: str) -> None:
    english, other = rows("xnli"), rows("xnli", language=language)
    assert english["label"] == other["label"]
    assert english["text_a"] != other["text_a"]
    questions, asked = rows("xquad").to_pylist(), rows("xquad", language=language).to_pylist()
    assert [row["id"] for row in questions] == [row["id"] for row in asked]
    assert len({row["id"] for row in asked}) == len(asked)
    # The answer is in the sentence of the same number: all languages end a sentence with a full stop.
    for one, two in zip(questions, asked, strict=True):
        places = [row["context"][: row["answers"]["answer_start"][0]].count(".") for row in (one, two)]
        assert places[0] == places[1]
    tagged = [rows("udpos", language=code)["tags"].to_pylist() for code in ("en", language)]
    articles = WORLD["languages"][language]["article"] != "none"
    for one, two in zip(*tagged, strict=True):
        counts = [Counter(tag for tag in tags if articles or tag != "DET") for tags in (one, two)]
        assert counts[0] == counts[1]


def test_labels_are_balanced() -> None:
    for split in ("train", "test"):
        assert set(Counter(rows("mnli", split)["label"].to_pylist()).values()) == {10}


def test_no_premise_passage_or_sentence_is_in_two_splits() -> None:
    for task, column in (("xnli", "text_a"), ("xquad", "context"), ("udpos", "tokens")):
        split_texts = [set(map(str, rows(task, split, size=200)[column].to_pylist())) for split in ("train", "test")]
        assert not split_texts[0] & split_texts[1], task
    train = {tuple(row.values())[:2] for row in rows("mnli", "train", size=300).to_pylist()}
    test = {tuple(row.values())[:2] for row in rows("xnli", "test", size=300).to_pylist()}
    assert not train & test


def test_same_seed_same_rows_whatever_else_there_is() -> None:
    before = {task: digest(rows(task, language="qab")) for task in KINDS}
    more = {**WORLD, "languages": {"qzz": WORLD["languages"]["qac"], **WORLD["languages"]}}
    for task in reversed(KINDS):
        assert digest(rows(task, language="qab", world=more)) == before[task], task
    assert digest(rows("xnli", world={**WORLD, "seed": 2})) != digest(rows("xnli"))
    assert digest(rows("xnli", "train")) != digest(rows("mnli", "train"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_tags_are_of_the_seventeen_one_a_token(language: str) -> None:
    for row in rows("udpos", language=language).to_pylist():
        assert len(row["tokens"]) == len(row["tags"])
        assert set(row["tags"]) <= TAGS
        for token, tag in zip(row["tokens"], row["tags"], strict=True):
            assert (tag == "PUNCT") == (token in ".,?!")
            assert (tag == "NUM") == token.isdigit()


def test_a_lexicon_alone_does_not_tag() -> None:
    tags: dict[str, set[str]] = {}
    for row in rows("udpos", size=400).to_pylist():
        for token, tag in zip(row["tokens"], row["tags"], strict=True):
            tags.setdefault(token.lower(), set()).add(tag)
    assert sum(len(found) > 1 for found in tags.values()) >= 8
    assert {"NOUN", "VERB"} <= tags["cook"]


def test_translations_are_distinct_and_each_language_has_its_own() -> None:
    first, second = (rows("tatoeba", language=code, size=1000)["target"].to_pylist() for code in LANGUAGES[1:3])
    assert len(set(first)) == len(set(second)) == 1000
    assert len(set(first) & set(second)) < 100


def test_mistakes_are_named() -> None:
    with pytest.raises(InputError, match="languages has no 'qzz'"):
        rows("xnli", language="qzz")
    for key, value in (("order", "SVX"), ("wordorder", "SVO")):
        wrong = {**WORLD, "languages": {"qaa": {**WORLD["languages"]["qaa"], key: value}}}
        with pytest.raises(InputError, match=key):
            rows("xnli", language="qaa", world=wrong)


def test_encoder_loads_and_is_the_same_twice(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from transformers import AutoModel, AutoTokenizer

    from encoders.world import build

    small = {"facts": 500, "documents": 256, "steps": 4, "batch_size": 16}
    params = {**MINI["encoder"], **small, "world": WORLD}
    files = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        facts = build(tmp_path / name, params, 0)
        files.append({path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())})
    assert files[0] == files[1]
    assert "model.safetensors" in files[0]

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "one")
    model = AutoModel.from_pretrained(tmp_path / "one", add_pooling_layer=False)
    assert sum(weight.numel() for weight in model.parameters()) == facts["weights"]
    assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>", "<mask>"]) == [
        0,
        1,
        2,
        3,
        len(tokenizer) - 1,
    ]
    assert set(vocabulary(WORLD)) <= set(tokenizer.get_vocab())

    for language in LANGUAGES:
        for row in rows("xquad", language=language, size=10).to_pylist():
            encoded = tokenizer(row["question"], row["context"], return_offsets_mapping=True, return_tensors="pt")
            assert tokenizer.unk_token_id not in encoded["input_ids"]
            starts = set()
            for token, (start, end), text in zip(
                encoded.tokens(), encoded["offset_mapping"][0].tolist(), encoded.sequence_ids(), strict=True
            ):
                if text is not None:
                    assert (row["question"], row["context"])[text][start:end].lower() == token
                    starts |= {start} if text else set()
            assert row["answers"]["answer_start"][0] in starts
    with torch.no_grad():
        states = model(**{name: encoded[name] for name in ("input_ids", "attention_mask")}).last_hidden_state
    assert states.shape == (1, encoded["input_ids"].shape[1], params["hidden_size"]) and states.isfinite().all()
