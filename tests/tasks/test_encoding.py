"""Rows as numbers of tokens: the same as transformers makes, mapped into memory, padded into batches."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

from conftest import WORDS, encoded
from stiltwalk.tasks.base_tokenize import Tokens
from stiltwalk.tasks.tables import schema, write_table
from stiltwalk.tasks.tokenized_files import encode_folder, record_batch
from stiltwalk.training.batching import Encoded
from stiltwalk.utils.errors import InputError


def sentences(count: int, seed: int, longest: int = 14) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, longest))) for _ in range(count)]


@pytest.mark.parametrize("length", [6, 11, 40])
def test_pairs_are_cut_as_transformers_cuts_them(tokens, tokenizer, length):
    pairs = list(zip(sentences(60, 0), sentences(60, 1), strict=True))
    expected = tokenizer(*map(list, zip(*pairs, strict=True)), truncation="longest_first", max_length=length)
    assert tokens.ids(pairs, length) == expected["input_ids"]
    assert tokens.special["mask_token"] == tokenizer.mask_token_id and tokens.size == len(tokenizer)


def test_windows_are_those_of_transformers(tokens, tokenizer):
    options = {"max_length": 18, "doc_stride": 5, "max_query_length": 6}
    questions, contexts = sentences(40, 2, 6), sentences(40, 3, 40)
    rows = [
        {"id": str(i), "context": context, "question": question, "answers": {"text": [], "answer_start": []}}
        for i, (question, context) in enumerate(zip(questions, contexts, strict=True))
    ]
    found = encoded("qa", pa.Table.from_pylist(rows, schema("qa")), False, options, tokens)
    expected = []
    for row, (question, context) in enumerate(zip(questions, contexts, strict=True)):
        overlap = max(0, 18 - 4 - len(tokenizer.tokenize(question)) - 5)
        windows = tokenizer(
            question,
            context,
            truncation="only_second",
            max_length=18,
            stride=overlap,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        for i, ids in enumerate(windows["input_ids"]):
            pairs = zip(windows["offset_mapping"][i], windows.sequence_ids(i), strict=True)
            expected.append((row, ids, [offsets if part == 1 else (-1, -1) for offsets, part in pairs]))
    sides = zip(found.lists("begins"), found.lists("ends"), strict=True)
    offsets = [list(zip(begins.tolist(), ends.tolist(), strict=True)) for begins, ends in sides]
    ids = [row.tolist() for row in found.lists("input_ids")]
    assert list(zip(found.rows.tolist(), ids, offsets, strict=True)) == expected
    assert len(found) > 60


def test_files_are_mapped_and_not_read(tokens, tmp_path, monkeypatch):
    texts = sentences(300, 4)
    rows = pa.table({"text_a": texts, "text_b": texts[::-1], "label": ["yes", "no", "no"] * 100}, schema("pair"))
    write_table(rows, tmp_path / "train.parquet", "pair")
    write_table(rows.drop_columns(["label"]), tmp_path / "test-de.parquet", "pair", gold=False)
    options = {"kind": "pair", "labels": ["yes", "no"], "max_length": 12}
    count = encode_folder(tmp_path, tmp_path / "out", options, tokens)
    before = pa.total_allocated_bytes()
    train, test = (Encoded.read(tmp_path / "out" / f"{name}.arrow") for name in ("train", "test-de"))
    assert pa.total_allocated_bytes() - before < 10_000
    assert int(train.lengths.sum() + test.lengths.sum()) == count
    assert train.columns["labels"].values[:3].tolist() == [0, 1, 1] and "labels" not in test.columns
    assert [len(part) for part in (train, test)] == [300, 300] and train.weights.tolist() == [1] * 300
    (tmp_path / "mlm").mkdir()
    write_table(pa.table({"text": texts}, schema("text")), tmp_path / "mlm/train.parquet", "text")
    running = {"kind": "text", "labels": [], "max_length": 12, "mask": 0.3}
    encode_folder(tmp_path / "mlm", tmp_path / "out-mlm", running, tokens)
    monkeypatch.setattr("stiltwalk.tasks.tokenized_files.PART", 7)
    encode_folder(tmp_path, tmp_path / "parts", options, tokens)
    encode_folder(tmp_path / "mlm", tmp_path / "parts-mlm", running, tokens)
    for whole, parts in (("out", "parts"), ("out-mlm", "parts-mlm")):
        assert (tmp_path / parts / "train.arrow").read_bytes() == (tmp_path / whole / "train.arrow").read_bytes()
    (tmp_path / "out" / "train.arrow").write_bytes(b"ARROW1")
    with pytest.raises(InputError, match=r"train\.arrow cannot be read"):
        Encoded.read(tmp_path / "out" / "train.arrow")


def test_batches_are_padded_on_the_right():
    rows: dict[str, list] = {
        "input_ids": [[5, 6], [7], [8, 9, 10]],
        "labels": [[-100, 1], [2], [3, -100, 4]],
        "start": [1, 0, 2],
    }
    batch = Encoded(record_batch(rows)).tensors([2, 0], pad_id=1)
    assert {name: values.tolist() for name, values in batch.items()} == {
        "input_ids": [[8, 9, 10], [5, 6, 1]],
        "attention_mask": [[1, 1, 1], [1, 1, 0]],
        "labels": [[3, -100, 4], [-100, 1, -100]],
        "start": [2, 1],
    }


def test_rows_of_several_sequences_lie_one_after_the_other():
    several = Encoded(record_batch({"input_ids": [[[5], [6, 7]], [[8, 9, 10], [11]]], "labels": [1, 0]}))
    assert several.lengths.tolist() == [3, 4] and several.vocabulary.tolist() == list(range(5, 12))
    batch = several.tensors([1, 0], pad_id=1)
    assert batch["input_ids"].tolist() == [[8, 9, 10], [11, 1, 1], [5, 1, 1], [6, 7, 1]]
    assert batch["attention_mask"].sum(1).tolist() == [3, 1, 1, 2] and batch["labels"].tolist() == [0, 1]
    assert several.take([1]).tensors([0], pad_id=1)["input_ids"].tolist() == [[8, 9, 10], [11, 1, 1]]


def test_a_folder_without_a_tokenizer_is_named(tmp_path):
    with pytest.raises(InputError, match="has no tokenizer that can be loaded"):
        Tokens(tmp_path)


def test_a_length_that_the_encoder_cannot_read_or_no_text_fits_is_refused(toy_folder, tmp_path, tokens):
    shutil.copytree(toy_folder, tmp_path / "short")
    config = json.loads((toy_folder / "tokenizer_config.json").read_text())
    (tmp_path / "short/tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": 9}))
    with pytest.raises(InputError, match="a max_length in kinds is 10; the encoder reads 9 tokens"):
        Tokens(tmp_path / "short").ids(["the cat"], 10)
    with pytest.raises(InputError, match=r"8 tokens are too few for \('the', 'cat cat"):
        tokens.ids([("the", "dog"), ("the", " ".join(["cat"] * 9))], 8, "only_first")
    rows = pa.table({"text_a": ["the"], "text_b": ["cat"], "label": ["perhaps"]}, schema("pair"))
    with pytest.raises(InputError, match="the label 'perhaps' of the rows is none of the record's: yes, no"):
        encoded("pair", rows, True, {"labels": ["yes", "no"], "max_length": 8}, tokens)
