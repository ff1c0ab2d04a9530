"""Multiple choice: what goes into the model, and how its answers come back out."""

import numpy as np
import pytest

from conftest import decode_ids, make_table, tokenized
from stiltwalk.tasks.choice.head.task import Task
from stiltwalk.utils.errors import InputError

OPTIONS = {"kind": "choice", "labels": ["0", "1"], "max_length": 10}


def test_every_choice_is_a_sequence_and_the_best_one_is_predicted(subwords):
    task = Task(OPTIONS)
    table = make_table("choice", [{"prompt": "the red cat sees the big", "choices": ["dog .", "house"], "label": 1}])
    rows = tokenized("choice", table, True, OPTIONS, subwords)
    first, second = rows.columns["input_ids"].lists(np.array([0]))
    assert decode_ids(subwords, first) == "<s> cat sees the big </s> </s> dog . </s>"
    assert decode_ids(subwords, second).endswith("the big </s> </s> house </s>") and max(len(first), len(second)) <= 10
    assert task.decode([np.array([0.5, 0.1])], rows, table) == [0]
    assert task.evaluate([0], table) == {"accuracy": 0.0}
    assert task.majority_baseline(table) == [1]


def test_a_row_with_another_number_of_choices_is_refused(subwords):
    table = make_table("choice", [{"prompt": "a", "choices": ["a", "a", "a"], "label": 0}])
    with pytest.raises(InputError, match="row 0 has 3 choices; the task's record has 2 labels"):
        tokenized("choice", table, True, OPTIONS, subwords)
