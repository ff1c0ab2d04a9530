"""A task that was not learned is flagged."""

import pytest

from conftest import make_table
from stiltwalk.tasks.base_head import load_task
from stiltwalk.training.flags import flag


def test_a_score_no_better_than_the_most_frequent_label_is_flagged():
    labels = ["a"] * 55 + ["b"] * 45
    table = make_table("pair", [{"text_a": "x", "text_b": "y", "label": label} for label in labels])
    task = load_task({"kind": "pair", "labels": ["a", "b"]})
    assert flag(task, ["a"] * 100, table, 55.0) == "collapsed to 'a': validation accuracy 55.0, a guess 55.0"
    assert flag(task, ["a", "b"] * 50, table, 60.0).startswith("not learned: validation accuracy 60.0")
    assert flag(task, labels, table, 70.0) == ""


@pytest.mark.parametrize(("score", "start"), [(25.0, "collapsed to 1"), (35.0, "")])
def test_a_score_two_standard_errors_above_chance_is_not_flagged(score, start):
    rows = [{"prompt": "", "choices": ["", "", "", ""], "label": i % 4} for i in range(400)]
    task = load_task({"kind": "choice", "labels": ["0", "1", "2", "3"]})
    message = flag(task, [1] * 400, make_table("choice", rows), score)
    assert message.startswith(start) and bool(message) == bool(start)


def test_the_tags_of_all_words_count_for_a_collapse():
    table = make_table("tagging", [{"tokens": ["x", "y", "z"], "tags": ["O", "O", "B"]}] * 50)
    task = load_task({"kind": "tagging", "labels": ["O", "B"]})
    message = flag(task, [["O", "O", "O"]] * 50, table, 0.0)
    assert message == "collapsed to 'O': validation f1 0.0, a guess 0.0"


def test_answers_that_are_all_wrong_are_flagged():
    answers = {"text": ["y"], "answer_start": [0]}
    table = make_table("qa", [{"id": "1", "question": "x", "context": "y", "answers": answers}])
    task = load_task({"kind": "qa", "max_answer_length": 3, "n_best": 2})
    assert flag(task, ["z"], table, 0.0).startswith("collapsed to 'z'")
