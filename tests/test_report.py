"""What is told of a run: the report on one, the table of many."""

import json
from pathlib import Path

from compare import settings
from report import about, by_language


def test_what_was_done_to_the_data_is_told(tmp_path: Path):
    place = {"path": "a/b", "sha": "0123456789abcdef", "license": "mit", "rows_published": 9, "rows_read": 7}
    one = place | {"dropped": {"unlabelled": 2}, "reanchored": 1}
    source = {
        "notes": ["Old things among the new."],
        "train": {"parts": [one, one], "rows_used": 5},
        "test": {"de": place | {"rows_published": 7, "rows_used": 4, "dropped": {}}},
    }
    path = tmp_path / "SOURCE.json"
    path.write_text(json.dumps(source))
    assert about(path) == [
        "- Old things among the new.",
        "- from a/b at 0123456789ab (mit)",
        "- rows read: 21",
        "- rows used: 9",
        "- reanchored: 2",
        "- unfit, never used: 4 unlabelled",
        "- 2 of 3 parts have another number of rows than was published",
    ]


def test_a_language_has_the_number_that_its_score_averages():
    scores = {
        "xquad": {"averages": {"avg_exact_match": 1, "avg_f1": 2}, "languages": {"en": {"exact_match": 50, "f1": 60}}},
        "udpos": {"averages": {"avg_f1": 1, "avg_accuracy": 2}, "languages": {"de": {"f1": 70, "accuracy": 80}}},
    }
    assert by_language(scores)[2:] == ["| de | - | 70.0 |", "| en | 55.0 | - |"]


def test_experiments_are_told_apart_by_what_they_used_only():
    row = {
        "order": "['mnli', 'squad+qqp']",
        "targets": "['udpos']",
        "tasks.mnli.kind": "pair",
        "tasks.qqp.kind": "pair",
        "tasks.anli_plus.kind": "pair",
        "xtreme.udpos.kind": "tagging",
        "xtreme.udpos.notes": "old",
        "xtreme.xnli.kind": "pair",
        "tasks.udpos.score": 50.0,
        "tasks.udpos.leak": "x",
        "training.epochs": 3.0,
        "chain.1-mnli.init": "models/encoder",
        "seed": 42,
    }
    assert settings(row).keys() == {"tasks.mnli.kind", "tasks.qqp.kind", "xtreme.udpos.kind", "training.epochs"}
