"""Which intermediate tasks train on rows of a target."""

from pathlib import Path
from typing import Any

import pytest

from laboratory import ROOT, compose
from stiltwalk.config.leaks import find_leaks
from stiltwalk.config.records import read_records

TASKS, TARGETS = (read_records(group, ROOT / "conf", {}) for group in ("tasks", "xtreme"))
PAWSX_TRAIN = {"path": "google/xtreme", "name": "PAWS-X.en", "split": "train"}
TYDIQA_TRAIN = {"path": "google/xtreme", "name": "tydiqa", "split": "train"}


def leaks(record: dict[str, Any], target: str) -> bool:
    """Whether a task of one's own with this record leaks into the target."""
    return find_leaks(["mine"], [target], {"mine": record}, TARGETS, on_hub=True) == {target: ["mine"]}


@pytest.mark.parametrize(
    ("target", "train", "expected"),
    [
        ("xnli", TASKS["mnli"]["train"], True),
        ("xnli", [TASKS["qqp"]["train"], TASKS["mnli"]["train"]], True),
        ("xnli", {"path": "google/xtreme", "name": "XNLI", "split": "test"}, True),
        ("xnli", {"path": "facebook/xnli", "name": "de", "split": "validation"}, False),
        ("xnli", {"path": "Nyu-MLL/GLUE", "name": "mnli", "split": "train[:100]"}, True),
        ("pawsx", PAWSX_TRAIN, True),
        ("pawsx", PAWSX_TRAIN | {"name": "PAWS-X.ko", "split": "test"}, True),
        ("pawsx", PAWSX_TRAIN | {"name": "PAWS-X.ko"}, False),
        ("tydiqa", TYDIQA_TRAIN | {"split": "train[:300]"}, False),
        ("tydiqa", TYDIQA_TRAIN | {"split": "train[299:301]"}, True),
        ("tatoeba", TASKS["mnli"]["train"], False),
    ],
    ids=str,
)
def test_a_leak_is_found_by_what_is_read(target: str, train: Any, expected: bool):
    assert leaks({"kind": "pair", "train": train}, target) == expected
    assert not leaks({"kind": "pair", "train": train, "shuffled": True}, target)


def test_the_records_and_what_they_read_name_the_same_leaks(tmp_path: Path):
    """A new record of ours that leaks must name it for data sets with other copies of the rows."""
    tasks = [task for task, record in TASKS.items() if not record.get("own")]
    found = find_leaks(tasks, list(TARGETS), TASKS, TARGETS, on_hub=True)
    assert found == find_leaks(tasks, list(TARGETS), TASKS, TARGETS, on_hub=False)
    assert found["xnli"] == ["mnli", "anli_plus", "mnli_translated"] and found["pawsx"] == []
    plan = compose(tmp_path / "params.yaml", "scale=small", "order=[mnli,null]", "targets=[xnli]")["plan"]
    assert plan["leaks"] == {"xnli": ["mnli"]}
