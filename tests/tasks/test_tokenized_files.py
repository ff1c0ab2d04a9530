"""Files of token ids: mapped into memory, and the same regardless of the parts they are made in."""

import json

import pyarrow as pa
import pytest

from conftest import make_table, random_sentences
from stiltwalk.tasks.base_data.kind_rows import load_rows
from stiltwalk.tasks.base_data.token_files import record_batch, tokenize_folder
from stiltwalk.training.batching import TokenizedRows
from stiltwalk.utils.errors import InputError

PAIR = {"kind": "pair", "labels": ["yes", "no"], "max_length": 12}
MLM = {"kind": "mlm", "labels": [], "max_length": 12, "mask": 0.3}


@pytest.fixture
def pair_folder(tmp_path):
    """A folder of 300 training rows, and the same rows as a test set without gold."""
    texts = random_sentences(300, 4)
    columns = {"text_a": texts, "text_b": texts[::-1], "label": ["yes", "no", "no"] * 100}
    rows, folder = load_rows("pair"), tmp_path / "pair"
    folder.mkdir()
    table = pa.table(columns, rows.schema)
    rows.write(table, folder / "train.parquet")
    rows.write(table, folder / "test-de.parquet", gold=False)
    return folder


@pytest.fixture
def mlm_folder(tmp_path):
    rows, folder = load_rows("mlm"), tmp_path / "mlm"
    folder.mkdir()
    rows.write(pa.table({"text": random_sentences(300, 4)}, rows.schema), folder / "train.parquet")
    return folder


def test_files_are_mapped_into_memory_not_read(subwords, pair_folder):
    count = tokenize_folder(pair_folder, PAIR, subwords)
    before = pa.total_allocated_bytes()
    train, test = (TokenizedRows.read(pair_folder / f"{name}.arrow") for name in ("train", "test-de"))
    assert pa.total_allocated_bytes() - before < 10_000
    assert int(train.lengths.sum() + test.lengths.sum()) == count
    assert train.columns["labels"].values[:3].tolist() == [0, 1, 1] and "labels" not in test.columns
    assert [len(part) for part in (train, test)] == [300, 300] and train.loss_terms.tolist() == [1] * 300


@pytest.mark.parametrize("options", [PAIR, MLM])
def test_files_do_not_depend_on_the_size_of_the_parts(subwords, pair_folder, mlm_folder, monkeypatch, options):
    folder = {"pair": pair_folder, "mlm": mlm_folder}[options["kind"]]
    tokenize_folder(folder, options, subwords)
    whole = (folder / "train.arrow").read_bytes()
    monkeypatch.setattr("stiltwalk.tasks.base_data.token_files.ROWS_PER_PART", 7)
    tokenize_folder(folder, options, subwords)
    assert (folder / "train.arrow").read_bytes() == whole


def test_a_broken_file_is_named(subwords, pair_folder):
    tokenize_folder(pair_folder, PAIR, subwords)
    (pair_folder / "train.arrow").write_bytes(b"ARROW1")
    with pytest.raises(InputError, match=r"train\.arrow cannot be read"):
        TokenizedRows.read(pair_folder / "train.arrow")


@pytest.mark.parametrize(("labels", "expected"), [([], ["A", "D", "N"]), (["N", "D"], ["N", "D"])])
def test_labels_of_a_tagging_task_without_a_list_are_those_of_its_training_rows(subwords, tmp_path, labels, expected):
    train = make_table("tagging", [{"tokens": ["the", "cat"], "tags": ["D", "N"]}, {"tokens": ["red"], "tags": ["A"]}])
    validation = make_table("tagging", [{"tokens": ["the", "cat"], "tags": ["D", "X"]}])
    rows = load_rows("tagging")
    rows.write(train, tmp_path / "train.parquet")
    rows.write(validation, tmp_path / "validation.parquet")
    tokenize_folder(tmp_path, {"kind": "tagging", "labels": labels, "max_length": 8}, subwords)
    assert json.loads((tmp_path / "labels.json").read_text()) == expected
    (numbers,) = TokenizedRows.read(tmp_path / "validation.arrow").lists("labels")
    assert numbers.tolist() == [-100, expected.index("D"), -100, -100]  # X is not among the labels


def test_batches_are_padded_on_the_right():
    rows: dict[str, list] = {
        "input_ids": [[5, 6], [7], [8, 9, 10]],
        "labels": [[-100, 1], [2], [3, -100, 4]],
        "start": [1, 0, 2],
    }
    batch = TokenizedRows(record_batch(rows)).tensors([2, 0], pad_id=1)
    assert {name: values.tolist() for name, values in batch.items()} == {
        "input_ids": [[8, 9, 10], [5, 6, 1]],
        "attention_mask": [[1, 1, 1], [1, 1, 0]],
        "labels": [[3, -100, 4], [-100, 1, -100]],
        "start": [2, 1],
    }


def test_the_sequences_of_a_row_are_consecutive():
    several = TokenizedRows(record_batch({"input_ids": [[[5], [6, 7]], [[8, 9, 10], [11]]], "labels": [1, 0]}))
    assert several.lengths.tolist() == [3, 4] and several.vocabulary.tolist() == list(range(5, 12))
    batch = several.tensors([1, 0], pad_id=1)
    assert batch["input_ids"].tolist() == [[8, 9, 10], [11, 1, 1], [5, 1, 1], [6, 7, 1]]
    assert batch["attention_mask"].sum(1).tolist() == [3, 1, 1, 2] and batch["labels"].tolist() == [0, 1]
    assert several.take([1]).tensors([0], pad_id=1)["input_ids"].tolist() == [[8, 9, 10], [11, 1, 1]]


def test_labels_may_be_real_numbers():
    rows = TokenizedRows(record_batch({"input_ids": [[5], [6]], "labels": [2.5, 0.25]}))
    assert rows.tensors([0, 1], pad_id=1)["labels"].tolist() == [2.5, 0.25]
    lists = TokenizedRows(record_batch({"input_ids": [[5], [6, 7]], "labels": [[], [0.5, 1.5]]}))
    assert lists.batch["labels"].to_pylist() == [[], [0.5, 1.5]]
