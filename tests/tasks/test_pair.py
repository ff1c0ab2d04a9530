"""Pair classification: what goes into the model, and how its answers come back out."""

import numpy as np
import pytest

from conftest import decode_ids, make_table, tokenized
from stiltwalk.tasks.pair.head.task import Task
from stiltwalk.utils.errors import InputError

OPTIONS = {"kind": "pair", "labels": ["yes", "no"], "max_length": 10}


def test_both_texts_share_a_sequence_and_the_longer_one_is_truncated(subwords):
    table = make_table("pair", [{"text_a": "the red cat sees the big dog .", "text_b": "a dog .", "label": "no"}])
    rows = tokenized("pair", table, True, OPTIONS, subwords)
    assert decode_ids(subwords, next(rows.lists("input_ids"))) == "<s> the red cat </s> </s> a dog . </s>"
    assert rows.columns["labels"].values.tolist() == [1]
    assert Task(OPTIONS).decode([np.array([0.1, 2.0])], rows, table) == ["no"]


def test_a_label_that_the_record_lacks_is_refused(subwords):
    table = make_table("pair", [{"text_a": "the", "text_b": "cat", "label": "perhaps"}])
    message = "the rows have the label 'perhaps'; the task's record lists only: yes, no"
    with pytest.raises(InputError, match=message):
        tokenized("pair", table, True, OPTIONS | {"max_length": 8}, subwords)


def test_predictions_are_scored_by_accuracy_and_compared_with_the_most_frequent_label(tmp_path):
    texts = {"text_a": "the", "text_b": "cat"}
    table = make_table("pair", [texts | {"label": label} for label in ("no", "yes", "no", "yes")])
    task = Task(OPTIONS)
    assert task.evaluate(["no", "yes", "no", "no"], table) == {"accuracy": 75.0}
    assert task.majority_baseline(table) == ["no"] * 4  # of equally frequent labels the first
    task.write_predictions(["no", "yes"], table, tmp_path / "test-de.tsv")
    assert (tmp_path / "test-de.tsv").read_text() == "no\nyes\n"
