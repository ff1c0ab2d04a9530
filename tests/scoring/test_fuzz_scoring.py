"""Prediction and label files with faults: the file and line are named, or the score is what the files say."""

import json
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzzing import broken, few_or, fuzz, refused
from stiltwalk.scoring.aggregate import score_task
from stiltwalk.scoring.answers import squad
from stiltwalk.scoring.tasks import TASKS

SQUAD = """{"data": [{"paragraphs": [{"context": "", "qas": [
{"id": "a", "answers": [{"text": "x y"}]},
{"id": "ש", "answers": [{"text": "é"}, {"text": "the e"}]},
{"id": "c", "answers": [{"text": "z"}]}
]}]}]}
"""
FILES = {  # gold and predictions
    "xnli": ("neutral\nentailment\nneutral\n", "neutral\nneutral\ncontradiction\n"),
    "udpos": ("NOUN\nVERB\n\nNOUN\nX\n", "NOUN\nNOUN\n\nNOUN\nX\n"),
    "tatoeba": ("2\n0\n1\n", "2\n1\n1\n"),
    "bucc2018": ("de-1\ten-1\nde-2\ten-3\n", "de-1\ten-1\nde-3\ten-2\n"),
    "xquad": (SQUAD, '{\n"a": "x",\n"ש": "é",\n"c": "z"\n}\n'),
}


def expected(name: str, gold: bytes, predicted: bytes) -> float | None:
    """The accuracy, or for pairs F1 and for questions exact match, worked out anew; None where the files do not fit."""
    one, other = (data.decode().removeprefix("\ufeff") for data in (gold, predicted))
    if name == "xquad":
        tree, answers = json.loads(one), json.loads(other, object_pairs_hook=list)
        right = [
            (q["id"], [a["text"] for a in q["answers"]])
            for d in tree["data"]
            for p in d["paragraphs"]
            for q in p["qas"]
        ]
        ids = [key for key, _ in right]
        if sorted(ids) != sorted(key for key, _ in answers) or len(set(ids)) < len(ids):
            return None
        given_ = dict(answers)
        return float(np.mean([squad([texts], [given_[key]], "en")["exact_match"] for key, texts in right]))
    wanted, found = ([line.strip() for line in re.split("\r\n|\r|\n", text)] for text in (one, other))
    for lines in (wanted, found):
        while lines and not lines[-1]:
            lines.pop()
    if name == "bucc2018":
        if not wanted or any(line.count("\t") != 1 for line in [*wanted, *found]):
            return None
        both = len(set(wanted) & set(found))
        return 200 * both / (len(set(wanted)) + len(set(found)))
    if not any(wanted) or [bool(line) for line in wanted] != [bool(line) for line in found]:
        return None
    return 100 * sum(a == b for a, b in zip(wanted, found, strict=True) if a) / sum(map(bool, wanted))


@few_or(2000, 60)
def test_mutilated_predictions_are_named_or_scored_as_they_stand(cases: int, tmp_path: Path):
    @fuzz(cases)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(FILES)))
        gold, predicted = (text.encode() for text in FILES[name])
        if data.draw(st.sampled_from([True, False, False])):
            gold = data.draw(broken(gold))
        else:
            predicted = data.draw(broken(predicted))
        suffix = TASKS[name].suffix
        for part, content in (("labels", gold), ("predictions", predicted)):
            (tmp_path / part / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / part / name / f"test-en.{suffix}").write_bytes(content)
        with refused(
            *(str(tmp_path / part / name / f"test-en.{suffix}") for part in ("labels", "predictions"))
        ) as said:
            scores = score_task(name, tmp_path / "labels" / name, tmp_path / "predictions" / name).languages["en"]
        if not said:
            main = {"xquad": "exact_match", "bucc2018": "f1"}.get(name, "accuracy")
            assert scores[main] == pytest.approx(expected(name, gold, predicted))

    check()


@fuzz(40)
@given(st.sampled_from(["xnli", "xquad"]), st.sampled_from(["labels", "predictions"]), st.data())
def test_every_language_has_both_files_or_the_missing_one_is_named(name: str, part: str, data: st.DataObject):
    suffix = TASKS[name].suffix
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for folder_, text in zip(("labels", "predictions"), FILES[name], strict=True):
            (folder / folder_).mkdir()
            for language in ("en", "de"):
                (folder / folder_ / f"test-{language}.{suffix}").write_text(text, encoding="utf-8")
        file = folder / part / f"test-{data.draw(st.sampled_from(['en', 'de', 'xx', '', 'EN']))}.{suffix}"
        was = file.exists()
        file.unlink() if was else shutil.copy(folder / part / f"test-en.{suffix}", file)
        other = folder / ("labels" if part == "predictions" else "predictions") / file.name
        with refused(str(file), str(other)) as said:
            score_task(name, folder / "labels", folder / "predictions")
        assert said


def test_a_prediction_of_ten_megabytes(tmp_path: Path):
    for part in ("labels", "predictions"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "test-en.tsv").write_text("a\n" * 3)
    (tmp_path / "predictions/test-en.tsv").write_text(f"a\na\n{'b' * 10_000_000}\n")
    assert score_task("xnli", tmp_path / "labels", tmp_path / "predictions").score == pytest.approx(200 / 3)
    with refused(f"{tmp_path}/predictions/test-en.tsv line 3 ") as said:
        (tmp_path / "labels/test-en.tsv").write_text("a\na\n\na\n")
        score_task("udpos", tmp_path / "labels", tmp_path / "predictions")
    assert said
