"""Sentence retrieval: the nearest sentence of the other language by any hidden state."""

import numpy as np
import pytest
from accelerate import Accelerator

from conftest import make_table, tokenized
from stiltwalk.tasks.base_data.kind_rows import load_rows
from stiltwalk.tasks.base_data.token_files import tokenize_folder
from stiltwalk.tasks.retrieval.search.task import Task
from stiltwalk.utils.errors import InputError

OPTIONS = {"kind": "retrieval", "labels": [], "depth": 0.5, "pooling": "mean", "max_length": 16}


@pytest.fixture
def table():
    """Four pairs of equal sentences, the second column in another order than the first."""
    sources = ["the red cat", "Anna sees Ben .", "who eats ?", "a big house in Paris"]
    targets = [sources[row] for row in (2, 0, 3, 1)]
    return make_table("retrieval", [{"source": a, "target": b} for a, b in zip(sources, targets, strict=True)])


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_equal_sentences_are_nearest(encoder, subwords, table, tmp_path, pooling):
    task = Task(OPTIONS | {"pooling": pooling})
    load_rows("retrieval").write(table, tmp_path / "test-de.parquet")
    tokenize_folder(tmp_path, OPTIONS, subwords)
    matches, facts = task.search(Accelerator(), encoder, table, tmp_path, "de", 64)
    assert (matches, facts) == ([2, 0, 3, 1], {}) and task.hidden_state(encoder) == 1
    task.write_predictions(matches, table, tmp_path / "test-de.tsv")
    assert (tmp_path / "test-de.tsv").read_text() == "2\n0\n3\n1\n"


def test_every_hidden_state_gives_the_matches_it_gives_alone(encoder, subwords, table):
    rows, task, accelerator = tokenized("retrieval", table, False, OPTIONS, subwords), Task(OPTIONS), Accelerator()
    together = task.nearest(accelerator, encoder, rows, "qaa", 64, range(3))
    assert together == [task.nearest(accelerator, encoder, rows, "qaa", 64, [state])[0] for state in range(3)]
    assert np.shape(together) == (3, 4)


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [("depth", 1.5, "from 0 to 1"), ("depth", -0.1, "from 0 to 1"), ("pooling", "max", "one of mean, first")],
)
def test_options_are_checked(option, value, rule):
    message = rf"params.yaml: kinds.retrieval.{option} is {value!r}; it must be {rule}"
    with pytest.raises(InputError, match=message):
        Task(OPTIONS | {option: value})
