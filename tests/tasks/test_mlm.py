"""Masked language modelling: what goes into the model, and how its answers come back out."""

import itertools

import numpy as np
import pyarrow as pa

from conftest import tokenized
from stiltwalk.tasks.mlm.head.task import Task
from stiltwalk.utils.labels import IGNORED

OPTIONS = {"kind": "mlm", "labels": [], "max_length": 12, "mask": 0.5}


def test_words_are_masked_but_never_special_tokens(subwords):
    orders = itertools.islice(itertools.permutations(["Anna", "sees", "the", "big", "red", "cat", "in", "Paris"]), 50)
    texts = [" ".join(words) for words in orders]
    rows = tokenized("mlm", pa.table({"text": texts}), True, OPTIONS, subwords)
    masked = 0
    columns = (rows.lists(name) for name in ("input_ids", "labels", "mlm_mask"))
    for ids, labels, mask, true_ids in zip(*columns, subwords.ids(texts), strict=True):
        hidden = [true_id for true_id, chosen in zip(true_ids, mask, strict=True) if chosen]
        assert [label for label in labels if label != IGNORED] == hidden
        assert sum(mask) == 4 and mask[0] == mask[-1] == 0
        assert all(i == true_id for i, true_id, chosen in zip(ids, true_ids, mask, strict=True) if not chosen)
        masked += ids.tolist().count(subwords.mask)
    assert 130 < masked < 190  # 80 % of 200


def test_predictions_pair_the_most_probable_token_with_the_true_one(subwords, tmp_path):
    table = pa.table({"text": ["the red cat sees Anna"]})
    rows = tokenized("mlm", table, True, OPTIONS, subwords)
    (labels,) = rows.lists("labels")
    first, second = (int(label) for label in labels if label != IGNORED)
    task = Task(OPTIONS)
    predictions = task.decode([np.array([[float(first)], [0.0]])], rows, table)
    assert predictions == [[(first, first), (0, second)]]
    assert task.evaluate(predictions, table) == {"accuracy": 50.0}
    assert task.majority_baseline(table) is None
    task.write_predictions(predictions, table, tmp_path / "test-en.txt")
    assert (tmp_path / "test-en.txt").read_text() == f"{first} 0\n"
