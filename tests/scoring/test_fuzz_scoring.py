"""Broken prediction and label files: an error names the file, or the score is that of the files' content."""

import json
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzzing import broken, case_counts, fuzz, refused
from stiltwalk.scoring.aggregate import score_task
from stiltwalk.scoring.answers import squad_scores
from stiltwalk.scoring.tasks import XTREME_TASKS

SQUAD = """{"data": [{"paragraphs": [{"context": "", "qas": [
{"id": "a", "answers": [{"text": "x y"}]},
{"id": "ש", "answers": [{"text": "é"}, {"text": "the e"}]},
{"id": "c", "answers": [{"text": "z"}]}
]}]}]}
"""
FILES = {  # labels and predictions
    "xnli": ("neutral\nentailment\nneutral\n", "neutral\nneutral\ncontradiction\n"),
    "udpos": ("NOUN\nVERB\n\nNOUN\nX\n", "NOUN\nNOUN\n\nNOUN\nX\n"),
    "tatoeba": ("2\n0\n1\n", "2\n1\n1\n"),
    "bucc2018": ("de-1\ten-1\nde-2\ten-3\n", "de-1\ten-1\nde-3\ten-2\n"),
    "xquad": (SQUAD, '{\n"a": "x",\n"ש": "é",\n"c": "z"\n}\n'),
}


def expected_score(name: str, labels: bytes, predictions: bytes) -> float | None:
    """Compute the main score again: accuracy, F1 for pairs, exact match for questions. None if the files do not fit."""
    label_text, prediction_text = (data.decode().removeprefix("\ufeff") for data in (labels, predictions))
    if name == "xquad":
        return expected_exact_match(label_text, prediction_text)
    gold, predicted = (
        [line.strip() for line in re.split("\r\n|\r|\n", text)] for text in (label_text, prediction_text)
    )
    for lines in (gold, predicted):
        while lines and not lines[-1]:
            lines.pop()
    if name == "bucc2018":
        if not gold or any(line.count("\t") != 1 for line in [*gold, *predicted]):
            return None
        correct = len(set(gold) & set(predicted))
        return 200 * correct / (len(set(gold)) + len(set(predicted)))
    if not any(gold) or [bool(line) for line in gold] != [bool(line) for line in predicted]:
        return None
    return 100 * sum(a == b for a, b in zip(gold, predicted, strict=True) if a) / sum(map(bool, gold))


def expected_exact_match(labels: str, predictions: str) -> float | None:
    answers = json.loads(predictions, object_pairs_hook=list)
    gold = [
        (question["id"], [answer["text"] for answer in question["answers"]])
        for article in json.loads(labels)["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    ids = [key for key, _ in gold]
    if sorted(ids) != sorted(key for key, _ in answers) or len(set(ids)) < len(ids):
        return None
    by_id = dict(answers)
    return float(np.mean([squad_scores([texts], [by_id[key]], "en")["exact_match"] for key, texts in gold]))


@case_counts(2000, 60)
def test_a_broken_file_gives_an_error_or_the_score_of_its_content(cases: int, tmp_path: Path):
    @fuzz(cases)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(FILES)))
        labels, predictions = (text.encode() for text in FILES[name])
        if data.draw(st.sampled_from([True, False, False])):
            labels = data.draw(broken(labels))
        else:
            predictions = data.draw(broken(predictions))
        files = [tmp_path / part / name / f"test-en.{XTREME_TASKS[name].suffix}" for part in ("labels", "predictions")]
        for file, content in zip(files, (labels, predictions), strict=True):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        with refused(*map(str, files)) as errors:
            scores = score_task(name, tmp_path / "labels" / name, tmp_path / "predictions" / name).languages["en"]
        if not errors:
            metric = {"xquad": "exact_match", "bucc2018": "f1"}.get(name, "accuracy")
            assert scores[metric] == pytest.approx(expected_score(name, labels, predictions))

    check()


# By task: values that are meant, and values that XTREME's evaluate.py scores although they cannot be meant.
VALUES = {
    "xnli": (["neutral", "entailment", "contradiction"], ["contradictory", "0", "Neutral", "neutral\u200b", "1.0"]),
    "pawsx": (["0", "1"], ["2", "paraphrase", "1.0", "-1", "01"]),
    "udpos": (["NOUN", "VERB", "X"], ["noun", "the\tNOUN", "NOUN\u200b", "N", "_"]),
    "panx": (["O", "B-PER", "I-PER"], ["B_PER", "Anna\tB-PER", "B-PER\u200e", "b-per", "B-MISC"]),
    "tatoeba": (["0", "1", "2"], ["2.0", "-1", "99", "x", "+1"]),
    "bucc2018": (
        [f"de-{number}\ten-{number}" for number in range(1, 4)],
        ["en-1\tde-1", "de-1\tfr-1", "de-1 \ten-1", "de-1\t en-1", "1\t1"],
    ),
}


@case_counts(800, 60)
def test_a_value_that_cannot_be_meant_is_scored_as_it_is_with_one_warning(cases: int, tmp_path: Path):
    @fuzz(cases)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(VALUES)))
        meant, wrong = VALUES[name]
        lines = {part: [data.draw(st.sampled_from(meant)) for _ in range(5)] for part in ("labels", "predictions")}
        part = data.draw(st.sampled_from(["", "labels", "predictions"]))
        place = data.draw(st.integers(0, 4))
        if part:
            lines[part][place] = data.draw(st.sampled_from(wrong))
        language = "de"
        files = {key: tmp_path / key / name / f"test-{language}.tsv" for key in lines}
        for key, file in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(f"{line}\n" for line in lines[key]), encoding="utf-8")
        scored = score_task(name, tmp_path / "labels" / name, tmp_path / "predictions" / name)
        if name not in ("udpos", "panx"):  # their F1 is of chunks
            expected = expected_score(name, *(files[key].read_bytes() for key in ("labels", "predictions")))
            assert scored.score == pytest.approx(expected)
        if not part:
            assert not scored.warnings
        elif not (name == "tatoeba" and lines[part][place] == "99" and part == "labels"):  # an excerpt's labels
            (warning,) = scored.warnings
            assert warning.startswith(f"{files[part]} line {place + 1} is {lines[part][place]!a}")
            assert len(warning.splitlines()) == 1 and warning.isprintable()

    check()


@fuzz(40)
@given(st.sampled_from(["xnli", "xquad"]), st.sampled_from(["labels", "predictions"]), st.data())
def test_an_error_names_the_file_of_a_language_that_is_missing_or_extra(name: str, part: str, data: st.DataObject):
    suffix = XTREME_TASKS[name].suffix
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for part_, text in zip(("labels", "predictions"), FILES[name], strict=True):
            (folder / part_).mkdir()
            for language in ("en", "de"):
                (folder / part_ / f"test-{language}.{suffix}").write_text(text, encoding="utf-8")
        file = folder / part / f"test-{data.draw(st.sampled_from(['en', 'de', 'xx', '', 'EN']))}.{suffix}"
        if file.exists():
            file.unlink()
        else:
            shutil.copy(folder / part / f"test-en.{suffix}", file)
        counterpart = folder / ("labels" if part == "predictions" else "predictions") / file.name
        with refused(str(file), str(counterpart)) as errors:
            score_task(name, folder / "labels", folder / "predictions")
        assert errors


def test_a_prediction_line_of_ten_megabytes_is_scored_or_named_in_a_short_error(tmp_path: Path):
    for part in ("labels", "predictions"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "test-en.tsv").write_text("a\n" * 3)
    (tmp_path / "predictions/test-en.tsv").write_text(f"a\na\n{'b' * 10_000_000}\n")
    assert score_task("xnli", tmp_path / "labels", tmp_path / "predictions").score == pytest.approx(200 / 3)
    with refused(f"{tmp_path}/predictions/test-en.tsv line 3 ") as errors:
        (tmp_path / "labels/test-en.tsv").write_text("a\na\n\na\n")
        score_task("udpos", tmp_path / "labels", tmp_path / "predictions")
    assert errors
