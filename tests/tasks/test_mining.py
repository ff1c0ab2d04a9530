"""Bitext mining: repeated texts, and the threshold that is tuned on dev and applied to test."""

import pyarrow as pa
import pytest
from accelerate import Accelerator

from conftest import make_table, tokenized
from stiltwalk.tasks.base_data.kind_rows import load_rows
from stiltwalk.tasks.base_data.token_files import tokenize_folder
from stiltwalk.tasks.mining.search.task import Task
from stiltwalk.utils.errors import InputError

OPTIONS = {"kind": "mining", "labels": [], "depth": 1.0, "pooling": "mean", "max_length": 16, "neighbours": 4}


def corpora(*rows: tuple[str, str, str]) -> pa.Table:
    """Rows of side, id and text."""
    return make_table("mining", [dict(zip(("side", "id", "text"), row, strict=True)) for row in rows])


def test_a_repeated_text_is_in_no_pair(encoder, subwords):
    table = corpora(
        ("source", "a-1", "the cat"),
        ("source", "a-2", "the dog"),
        ("source", "a-3", "the dog "),
        ("target", "en-1", "the cat"),
        ("target", "en-2", "the dog"),
    )
    rows = tokenized("mining", table, False, OPTIONS, subwords)
    candidates = Task(OPTIONS).mine(Accelerator(), encoder, table, rows, "qaa", 64)
    assert [(candidate.source, candidate.target) for candidate in candidates] == [("a-1", "en-1")]


def test_the_threshold_of_dev_is_applied_to_test(encoder, subwords, tmp_path):
    task, accelerator = Task(OPTIONS | {"neighbours": 2}), Accelerator()
    sides = {
        "source": ["the red cat", "Anna sees Ben", "a big house", "who eats ?"],
        "target": ["Anna sees Ben", "the red cat", "in Paris .", "where ?"],
    }
    table = corpora(*((side, f"{side}-{n}", text) for side, texts in sides.items() for n, text in enumerate(texts)))
    rows = tokenized("mining", table, False, OPTIONS, subwords)
    candidates = task.mine(accelerator, encoder, table, rows, "qaa", 64)
    gold = {("source-0", "target-1"), ("source-1", "target-0")}
    assert {candidate[1:] for candidate in candidates[:2]} == gold and len(candidates) > 2
    threshold, f1 = task.tune_threshold(candidates, gold)
    assert f1 == 1.0 and candidates[1].score > threshold > candidates[2].score

    write = load_rows("mining").write
    write(table, tmp_path / "validation-qaa.parquet")
    (tmp_path / "validation-qaa.tsv").write_text("".join(f"{s}\t{t}\n" for s, t in sorted(gold)))
    test = table.slice(0, 7)  # other corpora than dev's, so the search runs again
    write(test, tmp_path / "test-qaa.parquet")
    tokenize_folder(tmp_path, OPTIONS, subwords)
    answers, facts = task.search(accelerator, encoder, test, tmp_path, "qaa", 64)
    expected = [
        (candidate.source, candidate.target)
        for candidate in task.mine(accelerator, encoder, test, rows.take(range(7)), "qaa", 64)
        if candidate.score >= threshold
    ]
    assert answers == expected and set(expected) >= gold
    assert "threshold_from_test" not in facts
    write(table, tmp_path / "test-qaa.parquet")
    assert task.search(accelerator, encoder, table, tmp_path, "qaa", 64)[1]["threshold_from_test"]
    assert facts["dev_f1"] == 100.0 and facts["threshold"] == round(threshold, 6)
    task.write_predictions(answers, test, tmp_path / "test-qaa.tsv")
    assert (tmp_path / "test-qaa.tsv").read_text() == "".join(f"{s}\t{t}\n" for s, t in expected)

    (tmp_path / "validation-qaa.tsv").write_text("source-3\ttarget-0\n")
    answers, facts = task.search(accelerator, encoder, test, tmp_path, "qaa", 64)
    assert answers == [] and facts["threshold"] is None and facts["dev_f1"] == 0.0


@pytest.mark.parametrize("value", [0, -1, 2.5, "4", True])
def test_neighbours_must_be_a_positive_whole_number(value):
    message = r"params.yaml: kinds.mining.neighbours is .*; it must be a whole number, 1 or more"
    with pytest.raises(InputError, match=message):
        Task(OPTIONS | {"neighbours": value})
