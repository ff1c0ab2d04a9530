"""Token tagging: what goes into the model, and how its answers come back out."""

import numpy as np

from conftest import make_table, tokenized
from stiltwalk.tasks.tagging.head.task import Task
from stiltwalk.utils.labels import IGNORED


def test_a_long_sentence_is_split_into_rows_and_joined_again(subwords):
    options = {"labels": ["D", "A", "N"], "max_length": 5}
    task = Task(options)
    words, tags = ["the", "red", "cat", "\u200b", "the", "dog", "."], ["D", "A", "N", "A", "D", "N", "A"]
    table = make_table("tagging", [{"tokens": ["dog"], "tags": ["N"]}, {"tokens": words, "tags": tags}])
    rows = tokenized("tagging", table, True, options, subwords)
    assert max(rows.lengths) <= 5 and rows.table_rows.tolist() == [0, 1, 1, 1]
    assert int(rows.loss_terms.sum()) == 8  # every word has a loss term, the one without subwords too
    perfect = []
    for labels in rows.lists("labels"):
        values = np.zeros((len(labels), 3), np.float32)
        for position, label in enumerate(labels):
            if label != IGNORED:
                values[position, label] = 1
        perfect.append(values)
    assert task.decode(perfect, rows, table) == [["N"], tags]
    assert task.evaluate([["N"], tags], table) == {"f1": 100.0}


def test_an_empty_sentence_keeps_its_place(subwords, tmp_path):
    options = {"labels": ["D", "N"], "max_length": 8}
    task = Task(options)
    table = make_table("tagging", [{"tokens": []}, {"tokens": ["cat"]}], gold=False)
    rows = tokenized("tagging", table, False, options, subwords)
    assert "labels" not in rows.columns
    predictions = task.decode([np.eye(2)[[0, 0]], np.eye(2)[[0, 1, 0]]], rows, table)
    assert predictions == [[], ["N"]]
    task.write_predictions([["D", "N"], ["N"]], table, tmp_path / "test-en.tsv")
    assert (tmp_path / "test-en.tsv").read_text() == "D\nN\n\nN\n"


def test_the_label_o_does_not_count():
    table = make_table("tagging", [{"tokens": ["Anna", "sees", "Ben"], "tags": ["B-PER", "O", "B-PER"]}])
    task = Task({"labels": ["O", "B-PER"], "max_length": 8})
    assert task.evaluate([["B-PER", "O", "O"]], table) == {"f1": 66.6667}
    assert task.majority_baseline(table) == [["B-PER"] * 3]
