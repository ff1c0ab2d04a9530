"""Rows of every kind of task: files between stages, gold apart from inputs, and controls with shuffled gold."""

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stiltwalk.tasks.base_data.kind_rows import load_rows, shuffle_gold
from stiltwalk.utils.errors import InputError

NLI_ROWS = [{"text_a": f"a{i}", "text_b": "b", "label": label} for i, label in enumerate(["x", "y", "x", "z"])]


def test_files_to_predict_on_lack_the_gold_column(tmp_path: Path):
    rows = load_rows("pair")
    table = pa.Table.from_pylist(NLI_ROWS, rows.schema)
    for name in ("first", "second"):
        rows.write(table.select(["label", "text_b", "text_a"]), tmp_path / name)  # columns in another order
    rows.write(table, tmp_path / "test", gold=False)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert pq.read_table(tmp_path / "first").equals(table)
    assert pq.read_table(tmp_path / "test").equals(table.drop_columns(["label"]))


def test_kinds_without_gold_write_all_their_columns(tmp_path: Path):
    rows = load_rows("retrieval")
    table = pa.Table.from_pylist([{"source": "Ja.", "target": "Yes."}], rows.schema)
    rows.write(table, tmp_path / "test", gold=False)
    assert pq.read_table(tmp_path / "test").equals(table)


def test_shuffled_gold_has_the_same_texts_and_labels_in_another_order():
    rows = load_rows("pair")
    table = pa.Table.from_pylist(NLI_ROWS * 10, rows.schema)
    shuffled = shuffle_gold(table, rows, seed=1)
    assert shuffled.schema == table.schema
    assert shuffled.drop_columns(["label"]).equals(table.drop_columns(["label"]))
    assert shuffled["label"].to_pylist() != table["label"].to_pylist()
    assert Counter(shuffled["label"].to_pylist()) == Counter(table["label"].to_pylist())
    assert shuffle_gold(table, rows, seed=1).equals(shuffled) and not shuffle_gold(table, rows, seed=2).equals(shuffled)


def test_labels_and_tags_are_written_as_xtreme_writes_them():
    pair, tagging = load_rows("pair"), load_rows("tagging")
    inputs, gold = pair.split_gold(pa.Table.from_pylist(NLI_ROWS, pair.schema))
    assert inputs.column_names == ["text_a", "text_b"] and gold == "x\ny\nx\nz\n"
    sentences = [{"tokens": ["a", "b"], "tags": ["A", "B"]}, {"tokens": ["c"], "tags": ["C"]}]
    inputs, gold = tagging.split_gold(pa.Table.from_pylist(sentences, tagging.schema))
    assert inputs.column_names == ["tokens"] and gold == "A\nB\n\nC\n"


def test_answers_are_written_in_squads_layout():
    rows = load_rows("qa")
    answers = {"text": ["Änna", "Ä"], "answer_start": [0, 0]}
    table = pa.Table.from_pylist([{"id": "q", "context": "Änna.", "question": "Who?", "answers": answers}], rows.schema)
    inputs, gold = rows.split_gold(table)
    assert inputs.column_names == ["id", "context", "question"] and rows.label_suffix == "json"
    (paragraph,) = json.loads(gold)["data"][0]["paragraphs"]
    expected = [{"text": "Änna", "answer_start": 0}, {"text": "Ä", "answer_start": 0}]
    assert paragraph == {"context": "Änna.", "qas": [{"id": "q", "question": "Who?", "answers": expected}]}
    assert "Änna" in gold and gold.endswith("}\n")


def test_the_english_side_of_retrieval_is_sorted_and_labels_are_rows_of_it():
    rows = load_rows("retrieval")
    pairs = [{"source": "3", "target": "c"}, {"source": "1", "target": "a"}, {"source": "2", "target": "b"}]
    inputs, gold = rows.split_gold(pa.Table.from_pylist(pairs, rows.schema))
    assert inputs.to_pydict() == {"source": ["3", "1", "2"], "target": ["a", "b", "c"]}
    assert gold == "1\n2\n0\n"


@pytest.mark.parametrize("kind", ["choice", "mlm", "lexical"])
def test_kinds_that_xtreme_lacks_have_no_label_files(kind: str):
    with pytest.raises(InputError, match=f"a {kind} task has no label files; it cannot be a target of XTREME"):
        load_rows(kind).split_gold(load_rows(kind).schema.empty_table())


def test_questions_that_scoring_would_refuse_are_refused_with_the_data():
    answers = [{"id": name, "answers": {"text": texts}} for name, texts in (("p", ["x"]), ("q", []), ("p", ["y"]))]
    rows = load_rows("qa")
    rows.check_test(pa.Table.from_pylist(answers[:1]), "xquad test in de")
    for chosen, fault in (
        (answers[:2], "'q' has no answer; scoring needs one"),
        (answers[::2], "'p' appears twice; scoring needs unique ids"),
    ):
        with pytest.raises(InputError, match=f"xquad test in de: question {fault}"):
            rows.check_test(pa.Table.from_pylist(chosen), "xquad test in de")
