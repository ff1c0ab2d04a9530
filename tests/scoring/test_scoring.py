"""Scoring from files: XTREME's own fixtures if they are available, and small cases computed by hand."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stiltwalk.scoring.aggregate import TaskScores, describe_differences, group_scores, score_task
from stiltwalk.scoring.answers import mlqa_scores, squad_scores
from stiltwalk.scoring.metrics import chunk_f1, extract_chunks, pair_f1, part_of_speech_scores
from stiltwalk.scoring.tasks import XTREME_TASKS
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.files import dvc_md5, write_json

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "../shared/golden/xtreme"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"XTREME's mock submission is not at {GOLDEN}")


def write_files(folder: Path, **files: str) -> Path:
    """Write `test-<language>.tsv` files, or .json if the text is JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for language, text in files.items():
        suffix = "json" if text.startswith("{") else "tsv"
        (folder / f"test-{language}.{suffix}").write_text(text, encoding="utf-8")
    return folder


def squad_json(**answers: list[str]) -> str:
    """Labels in SQuAD's layout, from question id -> gold answers."""
    qas = [{"id": key, "answers": [{"text": text} for text in texts]} for key, texts in answers.items()]
    return json.dumps({"data": [{"paragraphs": [{"context": "", "qas": qas}]}]})


def run_script(script: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "src" / script), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, encoding="utf-8")


@needs_golden
@pytest.mark.parametrize("name", [name for name, task in XTREME_TASKS.items() if task.group])
def test_averages_equal_xtremes_to_the_last_digit(name: str) -> None:
    expected = json.loads((GOLDEN / "expected.json").read_text())[name]
    averages = score_task(name, GOLDEN / "labels" / name, GOLDEN / "predictions" / name).averages
    assert averages.keys() - expected.keys() == ({"avg_accuracy"} if name == "udpos" else set())
    for key, value in expected.items():
        assert averages[key] == value, key


@needs_golden
def test_evaluate_prints_the_averages_of_tasks_and_groups(tmp_path: Path) -> None:
    done = run_script(
        "evaluate.py", "--labels", GOLDEN / "labels", "--predictions", GOLDEN / "predictions", cwd=tmp_path
    )
    printed = json.loads(done.stdout)
    scores = {  # from expected.json; the score of QA is the mean of exact match and F1
        "xnli": 30.666666666666668,
        "pawsx": 51.42857142857143,
        "udpos": 70.21746048354693,
        "panx": 57.50793650793652,
        "xquad": (77.27272727272727 + 79.9586776859504) / 2,
        "mlqa": (57.142857142857146 + 81.76870748299321) / 2,
        "tydiqa": (88.88888888888889 + 97.22222222222223) / 2,
        "bucc2018": 55.0,
        "tatoeba": 53.611111111111114,
    }
    assert printed["all_task"] == pytest.approx(sum(scores.values()) / 9, rel=1e-12)
    assert printed["tagging"] == pytest.approx((scores["udpos"] + scores["panx"]) / 2, rel=1e-12)
    assert printed["xnli"] == {"avg_accuracy": scores["xnli"]}
    assert done.stderr == ""


def test_adjacent_words_with_the_same_part_of_speech_are_one_chunk() -> None:
    gold, predicted = ["NOUN", "NOUN", "NOUN", "PUNCT"], ["NOUN", "VERB", "NOUN", "PUNCT"]
    # Gold: NOUN 0-2, PUNCT 3. Predicted: NOUN 0, VERB 1, NOUN 2, PUNCT 3. One chunk is correct: P 1/4, R 1/2, F1 1/3.
    # Three of the four words are correct.
    scores = part_of_speech_scores(gold, predicted, "en")
    assert scores == pytest.approx({"f1": 100 / 3, "precision": 25, "recall": 50, "accuracy": 75})


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["SCONJ", "SCONJ", "SYM"], {("SCONJ", 0, 0), ("SCONJ", 1, 1), ("SYM", 2, 2)}),  # S- is a chunk of its own
        (["INTJ", "INTJ"], {("INTJ", 0, 1)}),  # I- continues a chunk
        (["CCONJ", "SCONJ"], {("CCONJ", 0, 0), ("SCONJ", 1, 1)}),  # the whole tag is the type
        (["NOUN", "", "NOUN"], {("NOUN", 0, 0), ("NOUN", 2, 2)}),  # no chunk spans two sentences
        (
            ["B-PER", "I-PER", "B-PER", "O", "I-LOC", "I-ORG"],
            {("PER", 0, 1), ("PER", 2, 2), ("LOC", 4, 4), ("ORG", 5, 5)},
        ),
        (["O", "", "O"], set()),
    ],
)
def test_chunks_follow_the_rule_of_seqeval_0_0_12(tags: list[str], expected: set[tuple[str, int, int]]) -> None:
    assert extract_chunks(tags) == expected


def test_scores_are_zero_if_nothing_is_correct() -> None:
    zero = {"f1": 0, "precision": 0, "recall": 0}
    assert chunk_f1(["B-PER"], ["O"], "en") == zero
    assert pair_f1({("de-1", "en-1")}, set(), "de") == zero


def test_squad_ignores_articles_and_punctuation_and_takes_the_best_answer() -> None:
    gold = [["the Denver Broncos", "Broncos"], ["in 1999"]]
    # Question 1: "A Broncos!" -> "broncos", exactly the second answer: EM 1, F1 1.
    # Question 2: {1999, in, city} against {in, 1999}: P 2/3, R 1, F1 0.8; EM 0.
    assert squad_scores(gold, ["A Broncos!", "1999 in the city"], "th") == pytest.approx({"exact_match": 50, "f1": 90})


def test_mlqa_normalises_answers_by_language() -> None:
    assert mlqa_scores([["der «Hund»"]], ["Hund"], "de") == {"exact_match": 100, "f1": 100}
    # SQuAD's rule keeps "der" and the quotation marks: no word in common.
    assert squad_scores([["der «Hund»"]], ["Hund"], "de") == {"exact_match": 0, "f1": 0}
    # Chinese is split into characters: {中, 国, 人} against {中, 国}: P 2/3, R 1, F1 0.8.
    assert mlqa_scores([["中国。"]], ["中国人"], "zh") == pytest.approx({"exact_match": 0, "f1": 80})
    assert mlqa_scores([["الكتاب"]], ["كتاب"], "ar") == {"exact_match": 100, "f1": 100}
    # ASCII symbols (category S) are removed too.
    assert mlqa_scores([["the $5"]], ["5"], "en") == {"exact_match": 100, "f1": 100}
    with pytest.raises(
        InputError, match="MLQA has no answer normalisation for language 'th'; remove it, or use one of en, es, "
    ):
        mlqa_scores([["x"]], ["x"], "th")


def test_task_score_and_transfer_gap_are_means_over_languages(tmp_path: Path) -> None:
    labels = write_files(
        tmp_path / "labels", en=squad_json(a=["x y"]), de=squad_json(a=["x y"]), fr=squad_json(a=["x"])
    )
    predictions = write_files(tmp_path / "predictions", en='{"a": "x y"}', de='{"a": "x"}', fr='{"a": "y"}')
    scores = score_task("xquad", labels, predictions)
    # en: EM 100, F1 100; de: EM 0, P 1, R 1/2, F1 66.7; fr: 0 and 0. Means: EM 33.3, F1 55.6. Score (33.3 + 55.6) / 2.
    assert scores.averages == pytest.approx({"avg_exact_match": 100 / 3, "avg_f1": 500 / 9})
    assert scores.score == pytest.approx(400 / 9)
    # The mean of both by language: en 100, de 33.3, fr 0. Others: (33.3 + 0) / 2 = 16.7. Gap: 83.3.
    assert scores.by_language == pytest.approx({"de": 100 / 3, "en": 100, "fr": 0})
    assert scores.transfer == pytest.approx({"english": 100, "non_english": 50 / 3, "gap": 250 / 3})


def test_transfer_gap_is_none_without_english(tmp_path: Path) -> None:
    pairs = (
        write_files(tmp_path / "labels", de="de-1\ten-1\nde-2\ten-2\n"),
        write_files(tmp_path / "mined", de="de-2\ten-2\n"),
    )
    # One pair is predicted and correct, of two: P 1, R 1/2, F1 2/3.
    assert score_task("bucc2018", *pairs).transfer == {
        "english": None,
        "non_english": pytest.approx(200 / 3),
        "gap": None,
    }


def test_a_group_has_a_score_only_if_all_its_tasks_have_one() -> None:
    assert group_scores({"xnli": 80, "pawsx": 60, "udpos": 50, "tatoeba": 10}) == {"classification": 70}
    # Six tasks at 90 and three QA tasks at 0: the mean is over nine tasks (540 / 9), not over four groups (270 / 4).
    groups = group_scores({name: 0 if task.group == "qa" else 90 for name, task in XTREME_TASKS.items()})
    assert groups == {"classification": 90, "tagging": 90, "qa": 0, "retrieval": 90, "all_task": 60}


def test_an_average_over_other_languages_than_xtremes_gives_a_warning() -> None:
    def warnings(*codes: str) -> list[str]:
        scored = {"accuracy": 50.0}
        xnli = TaskScores(XTREME_TASKS["xnli"], dict.fromkeys(XTREME_TASKS["xnli"].languages, scored))
        pawsx = TaskScores(XTREME_TASKS["pawsx"], dict.fromkeys(codes, scored))
        return [*describe_differences({"xnli": xnli, "pawsx": pawsx})]

    languages = XTREME_TASKS["pawsx"].languages
    start = "pawsx: the average does not compare with XTREME's, as it is over "
    of_group = "classification: the average does not compare with XTREME's, because of the languages of pawsx"
    assert warnings(*languages[:-2]) == [f"{start}5 of XTREME's 7 languages, without ko zh", of_group]
    assert warnings("en")[0] == f"{start}1 of XTREME's 7 languages, without de es fr ja ko and 1 more"
    assert warnings(*languages, "sw") == [f"{start}7 of XTREME's 7 languages, with sw", of_group]
    assert warnings(*languages) == warnings("en", "qaa") == []


@pytest.mark.parametrize(
    ("name", "gold", "predicted", "warnings"),
    [
        (
            "xnli",
            "neutral\n",
            "contradictory\n",
            ["p:1 is 'contradictory'; the labels are "],
        ),
        (
            "xnli",
            "0\n1\n2\n",
            "0\n1\n2\n",
            ["l:1 is '0' (3 such lines)", "p:1"],
        ),
        ("pawsx", "0\n", "Paraphrase\n", ["p:1 is 'Paraphrase'; the labels are 0, 1"]),
        ("udpos", "NOUN\n\nVERB\n", "NOUN\n\nverb\n", ["p:3 is 'verb'; the labels are"]),
        ("udpos", "NOUN\n", "cat\tNOUN\n", [r"p:1 is 'cat\tNOUN'; the labels are"]),
        ("udpos", "a\tNOUN\n", "a\tNOUN\n", ["l:1", "p:1"]),
        ("udpos", "NOUN\n", "NOUN\u200b\n", [r"p:1 is 'NOUN\u200b'; the labels are"]),
        ("panx", "B-PER\nO\n", "B_PER\nO\n", ["p:1 is 'B_PER'; the labels are O, B-PER"]),
        (
            "tatoeba",
            "1\n0\n",
            "2\n1\n",
            ["p:1 is '2'; rows are whole numbers, counted from 0"],
        ),
        ("tatoeba", "1\n0\n", "1.0\n0\n", ["p:1 is '1.0'; rows are whole numbers"]),
        ("tatoeba", "1\n2\n", "1\n1\n", ["l:2 is '2'; rows are whole numbers"]),
        (
            "bucc2018",
            "de-1\ten-2\n",
            "en-2\tde-1\n",
            [r"p:1 is 'en-2\tde-1'; a pair is de-<"],
        ),
        (
            "bucc2018",
            "de-1\ten-2\n",
            "de-1 \ten-2\n",
            [r"p:1 is 'de-1 \ten-2'; a pair is de-<"],
        ),
        ("bucc2018", "de-1\ten-2\n", "de-1\ten-3\n", []),
        ("tatoeba", "1\n0\n", "0\n0\n", []),
        ("panx", "B-PER\n\nO\n", "O\n\nI-LOC\n", []),
    ],
)
def test_a_value_that_cannot_be_meant_gives_a_warning(
    tmp_path: Path, name: str, gold: str, predicted: str, warnings: list[str]
) -> None:
    labels, predictions = write_files(tmp_path / "labels", de=gold), write_files(tmp_path / "predictions", de=predicted)
    given = score_task(name, labels, predictions).warnings
    assert len(given) == len(warnings)
    for one, start in zip(given, warnings, strict=True):
        folder, rest = {"l": labels, "p": predictions}[start[0]], start[2:]
        assert one.startswith(f"{folder}/test-de.tsv line {rest}")


@pytest.mark.parametrize("last", ["", "\n", "\n\n", "\r\n"])
def test_line_endings_do_not_change_the_score(tmp_path: Path, last: str) -> None:
    labels = write_files(tmp_path / "labels", en="NOUN\nVERB\n\nNOUN\n\n")
    predictions = write_files(tmp_path / "predictions", en="NOUN\r\nVERB\r\n\r\nVERB" + last)
    assert score_task("udpos", labels, predictions).averages["avg_accuracy"] == pytest.approx(200 / 3)


@pytest.mark.parametrize(
    ("name", "gold", "predicted", "message"),
    [
        ("xnli", "neutral\nneutral\n", "neutral\n", r"predictions/test-en.tsv ends at line 1, .* at line 2"),
        ("xnli", "neutral\n", "neutral\nneutral\n", "ends at line 2, .* at line 1"),
        ("xnli", "neutral\nneutral\n", "\nneutral\n", "line 1 is blank where .* has 'neutral'"),
        ("udpos", "X\nX\n\nX\n", "X\n\nX\nX\n", "line 2 is blank where .* has 'X'"),  # one word too few
        ("udpos", "X\n\nX\n", "X\nX\n\nX\n", "line 2 is 'X' where .* has blank"),  # one word too many
        ("udpos", "X\n\nX\n", "X\n", "ends at line 1, .* at line 3"),  # one sentence too few
        (
            "bucc2018",
            "de-1\ten-1\n",
            "de-1\ten-1\nde-2 en-2\n",
            "line 2 is 'de-2 en-2'; it must be two sentence ids separated by a tab",
        ),
        ("xquad", squad_json(a=["x"], b=["y"]), '{"a": "x"}', r"no answer to question 'b' \(1 missing in total\)"),
        (
            "xquad",
            squad_json(a=["x"]),
            '{"a": "x", "c": "z"}',
            "answers question 'c', which .* does not have; remove it",
        ),
        ("xquad", squad_json(a=["x"]), '{"a": null}', "answers question 'a' with null; it must be a string"),
        ("xquad", squad_json(a=["x"]), '{"a": "x", "a": "y"}', "key 'a' appears twice"),
        ("xquad", squad_json(a=["x"]), '{"a": ', "not valid JSON: .* line 1 column 7"),
        ("xquad", squad_json(a=[]), '{"a": "x"}', "no gold answer for question 'a'"),
        (
            "xquad",
            squad_json(a=["x"]).replace('"x"', "7"),
            '{"a": "x"}',
            "question 'a' with an id or an answer that is not a string",
        ),
        ("xquad", squad_json(a=["x"]), '{"a": ' + "[" * 99999, "not valid JSON: maximum recursion"),
        ("xquad", '{"a": "x"}', '{"a": "x"}', "labels/test-en.json is not in SQuAD's layout"),
        ("xnli", "\n", "\n", "labels/test-en.tsv has no labels"),
    ],
)
def test_an_error_names_the_file_and_line_that_do_not_fit(
    tmp_path: Path, name: str, gold: str, predicted: str, message: str
) -> None:
    labels, predictions = write_files(tmp_path / "labels", en=gold), write_files(tmp_path / "predictions", en=predicted)
    with pytest.raises(InputError, match=message) as error:
        score_task(name, labels, predictions)
    assert "\n" not in str(error.value)


def test_an_error_names_files_of_other_languages_or_encodings(tmp_path: Path) -> None:
    labels, predictions = tmp_path / "labels", tmp_path / "predictions"
    write_files(labels, en="0\n1\n")
    with pytest.raises(InputError, match=r"predictions/test-en.tsv is missing"):
        score_task("tatoeba", labels, predictions)
    write_files(predictions, en="0\n1\n", fr="0\n")
    with pytest.raises(InputError, match=r"predictions/test-fr.tsv has no label file"):
        score_task("tatoeba", labels, predictions)
    (predictions / "test-fr.tsv").unlink()
    (predictions / "test-en.tsv").write_bytes(b"0\n\xff\n")
    with pytest.raises(InputError, match=r"test-en.tsv line 2 is not UTF-8"):
        score_task("tatoeba", labels, predictions)
    with pytest.raises(InputError, match=r"no label file test-<language>\.json"):
        score_task("xquad", labels, predictions)


def test_the_score_stage_writes_all_metrics_or_fails_with_one_line(tmp_path: Path) -> None:
    write_files(tmp_path / "data/labels/xnli", en="neutral\nentailment\n", de="neutral\nentailment\n")
    write_files(tmp_path / "predictions/xnli", en="neutral\nentailment\n", de="neutral\nneutral\n")
    write_files(tmp_path / "data/labels/tatoeba", de="0\n1\n")
    write_files(tmp_path / "predictions/tatoeba", de="0\n1\n")
    files: dict[str, Any] = {
        "targets/xnli": {"xnli": {"accuracy": 62.5}, "flags": {"xnli": "not learned"}},
        "targets/tatoeba": {"layer": 2},
        "probes/retention/1-mnli": {
            "retention": {"1-mnli": {"mnli": {"accuracy": 90.0}}},
            "flags": {"mnli": "collapsed to 'neutral'"},
        },
    }
    for name, content in files.items():
        write_json(content, tmp_path / "metrics" / f"{name}.json")
    trajectory = tmp_path / "metrics/probes/trajectory/1-mnli.csv"
    trajectory.parent.mkdir()
    trajectory.write_text("step,layer,score\n1-mnli,0,10.0\n")
    write_json({"order": ["mnli"], "plan": {"leaks": {"xnli": ["mnli"], "tatoeba": []}}}, tmp_path / "params.yaml")
    done = run_script("score.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[2].split() == ["xnli", "75.00", "100.00", "50.00", "50.00", "mnli"]
    assert json.loads((tmp_path / "metrics/scores/xnli.json").read_text()) == {
        "score": 75,
        "english": 100,
        "non_english": 50,
        "gap": 50,
        "averages": {"avg_accuracy": 75},
        "languages": {"de": {"accuracy": 50}, "en": {"accuracy": 100}},
    }
    assert (tmp_path / "metrics/languages/xnli.csv").read_text() == "task,language,score\nxnli,de,50.0\nxnli,en,100.0\n"
    summary = json.loads((tmp_path / "metrics/summary.json").read_text())
    assert summary["flags"] == {"1-mnli mnli": "collapsed to 'neutral'", "xnli": "not learned"}
    assert "flag: 1-mnli mnli collapsed to 'neutral'" in done.stdout
    assert summary["tasks"] == {
        "xnli": {
            "score": 75,
            "english": 100,
            "non_english": 50,
            "gap": 50,
            "leak": "mnli",
            "caution": "2 of XTREME's 15 languages, without ar bg el es fr and 8 more",
        },
        "tatoeba": {
            "score": 100,
            "non_english": 100,
            "caution": "1 of XTREME's 36 languages, without ar he vi id jv and 30 more",
        },
    }
    cells = json.loads((tmp_path / "metrics/cells.json").read_text())
    inputs = cells.pop("inputs")
    assert inputs["metrics/targets/xnli.json"] == dvc_md5(tmp_path / "metrics/targets/xnli.json")
    folders = [f"{folder}/{target}" for target in ("xnli", "tatoeba") for folder in ("data/labels", "predictions")]
    assert {path for path, md5 in inputs.items() if md5.endswith(".dir")} == set(folders)
    assert cells == {
        "targets": {
            "xnli": {"validation": 62.5, "languages": {"de": 50, "en": 100}},
            "tatoeba": {"validation": None, "languages": {"de": 100}},
        },
        "steps": {"1-mnli": {**files["probes/retention/1-mnli"], "trajectory": [10.0]}},
    }

    (tmp_path / "predictions/xnli/test-de.tsv").unlink()
    before = (tmp_path / "metrics/summary.json").read_bytes()
    failed = run_script("score.py", cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: predictions/xnli/test-de.tsv is missing")
    assert failed.stderr.count("\n") == 1
    assert (tmp_path / "metrics/summary.json").read_bytes() == before


def test_the_score_stage_removes_results_of_earlier_runs(tmp_path: Path) -> None:
    for target in ("tatoeba", "pawsx"):
        write_files(tmp_path / "data/labels" / target, de="0\n1\n")
        write_files(tmp_path / "predictions" / target, de="0\n1\n")
        write_json({"layer": 2}, tmp_path / f"metrics/targets/{target}.json")
    write_json({"retention": {}, "flags": {}}, tmp_path / "metrics/probes/retention/1-squad.json")
    (tmp_path / "metrics/probes/trajectory").mkdir()
    for step in ("1-mnli", "1-squad"):
        (tmp_path / f"metrics/probes/trajectory/{step}.csv").write_text(f"step,layer,score\n{step},0,10.0\n")
    write_json({"order": ["mnli"], "plan": {"leaks": {"tatoeba": []}}}, tmp_path / "params.yaml")
    done = run_script("score.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    remaining = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert not any("pawsx" in path or "squad" in path for path in remaining)
    assert {"metrics/targets/tatoeba.json", "metrics/probes/trajectory/1-mnli.csv"} <= remaining
    assert list(json.loads((tmp_path / "metrics/cells.json").read_text())["steps"]) == ["1-mnli"]


def test_evaluate_warns_about_everything_that_it_does_not_score(tmp_path: Path) -> None:
    labels, predictions = tmp_path / "labels", tmp_path / "predictions"
    write_files(labels / "tatoeba", fr="0\n1\n")
    write_files(labels / "xnli", en="neutral\n")
    write_files(predictions / "tatoeba", fr="0\n0\n")
    write_files(predictions / "XNLI", en="neutral\n")
    arguments = ("--labels", labels, "--predictions", predictions, "--languages")
    done = run_script("evaluate.py", *arguments, cwd=tmp_path)
    assert json.loads(done.stdout) == {"tatoeba": {"avg_accuracy": 50, "languages": {"fr": {"accuracy": 50}}}}
    assert done.stderr.splitlines() == [
        f"xnli: not scored, only {labels} has it",
        f"{predictions}/XNLI: not scored, there is no such task",
        "tatoeba: the average does not compare with XTREME's, as it is over 1 of XTREME's 36 languages, "
        "without ar he vi id jv and 30 more",
    ]

    shutil.rmtree(predictions / "tatoeba")
    failed = run_script("evaluate.py", *arguments, cwd=tmp_path)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "no task in common" in failed.stderr
