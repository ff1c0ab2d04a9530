"""Scoring from files: XTREME's own fixtures where they are at hand, and small cases worked out by hand."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stiltwalk.scoring.aggregate import TaskScores, group_scores, incomplete, score_task
from stiltwalk.scoring.answers import mlqa, squad
from stiltwalk.scoring.metrics import chunk_f1, chunks, pair_f1, word_tag_scores
from stiltwalk.scoring.tasks import TASKS
from stiltwalk.utils.errors import InputError

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "../shared/golden/xtreme"
golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"XTREME's mock submission is not at {GOLDEN}")


def write(folder: Path, **files: str) -> Path:
    """Write `test-<language>.tsv` files (or .json where the text is JSON)."""
    folder.mkdir(parents=True, exist_ok=True)
    for language, text in files.items():
        suffix = "json" if text.startswith("{") else "tsv"
        (folder / f"test-{language}.{suffix}").write_text(text, encoding="utf-8")
    return folder


def questions(**answers: list[str]) -> str:
    """Gold in SQuAD's layout: question id -> right answers."""
    qas = [{"id": key, "answers": [{"text": text} for text in texts]} for key, texts in answers.items()]
    return json.dumps({"data": [{"paragraphs": [{"context": "", "qas": qas}]}]})


def stage(script: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "src" / script), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, encoding="utf-8")


@golden
@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.group])
def test_xtremes_own_averages(name: str) -> None:
    expected = json.loads((GOLDEN / "expected.json").read_text())[name]
    averages = score_task(name, GOLDEN / "labels" / name, GOLDEN / "predictions" / name).averages
    assert averages.keys() - expected.keys() == ({"avg_accuracy"} if name == "udpos" else set())
    for key, value in expected.items():
        assert averages[key] == value, key  # to the last digit


@golden
def test_evaluate_prints_tasks_and_groups_of_xtreme(tmp_path: Path) -> None:
    done = stage("evaluate.py", "--labels", GOLDEN / "labels", "--predictions", GOLDEN / "predictions", cwd=tmp_path)
    printed = json.loads(done.stdout)
    one = {  # from expected.json; QA is the mean of exact match and F1
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
    assert printed["all_task"] == pytest.approx(sum(one.values()) / 9, rel=1e-12)
    assert printed["tagging"] == pytest.approx((one["udpos"] + one["panx"]) / 2, rel=1e-12)
    assert printed["xnli"] == {"avg_accuracy": one["xnli"]}
    assert done.stderr == ""


def test_neighbours_with_the_same_part_of_speech_are_one_chunk() -> None:
    gold, predicted = ["NOUN", "NOUN", "NOUN", "PUNCT"], ["NOUN", "VERB", "NOUN", "PUNCT"]
    # gold: NOUN 0-2, PUNCT 3; predicted: NOUN 0, VERB 1, NOUN 2, PUNCT 3. One is right: P 1/4, R 1/2, F1 1/3.
    # Of the four words three are right.
    scores = word_tag_scores(gold, predicted, "en")
    assert scores == pytest.approx({"f1": 100 / 3, "precision": 25, "recall": 50, "accuracy": 75})


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["SCONJ", "SCONJ", "SYM"], {("SCONJ", 0, 0), ("SCONJ", 1, 1), ("SYM", 2, 2)}),  # S- stands alone
        (["INTJ", "INTJ"], {("INTJ", 0, 1)}),  # I- goes on
        (["CCONJ", "SCONJ"], {("CCONJ", 0, 0), ("SCONJ", 1, 1)}),  # whole tag is the type
        (["NOUN", "", "NOUN"], {("NOUN", 0, 0), ("NOUN", 2, 2)}),  # no chunk across sentences
        (
            ["B-PER", "I-PER", "B-PER", "O", "I-LOC", "I-ORG"],
            {("PER", 0, 1), ("PER", 2, 2), ("LOC", 4, 4), ("ORG", 5, 5)},
        ),
        (["O", "", "O"], set()),
    ],
)
def test_chunk_rule_of_seqeval_0_0_12(tags: list[str], expected: set[tuple[str, int, int]]) -> None:
    assert chunks(tags) == expected


def test_nothing_right_is_zero_and_not_a_division_by_zero() -> None:
    zero = {"f1": 0, "precision": 0, "recall": 0}
    assert chunk_f1(["B-PER"], ["O"], "en") == zero
    assert pair_f1({("de-1", "en-1")}, set(), "de") == zero


def test_squad_takes_the_best_answer_without_articles_and_punctuation() -> None:
    gold = [["the Denver Broncos", "Broncos"], ["in 1999"]]
    # 1: "a broncos!" -> "broncos", exactly the second answer: EM 1, F1 1.
    # 2: {1999, in, city} against {in, 1999}: P 2/3, R 1, F1 0.8; EM 0.
    assert squad(gold, ["A Broncos!", "1999 in the city"], "th") == pytest.approx({"exact_match": 50, "f1": 90})


def test_mlqa_normalises_by_language() -> None:
    assert mlqa([["der «Hund»"]], ["Hund"], "de") == {"exact_match": 100, "f1": 100}
    # SQuAD's rule keeps "der" and the quotation marks: no word in common.
    assert squad([["der «Hund»"]], ["Hund"], "de") == {"exact_match": 0, "f1": 0}
    # zh by character: {中, 国, 人} against {中, 国}: P 2/3, R 1, F1 0.8.
    assert mlqa([["中国。"]], ["中国人"], "zh") == pytest.approx({"exact_match": 0, "f1": 80})
    assert mlqa([["الكتاب"]], ["كتاب"], "ar") == {"exact_match": 100, "f1": 100}
    assert mlqa([["the $5"]], ["5"], "en") == {"exact_match": 100, "f1": 100}  # ASCII symbols, category S, go as well
    with pytest.raises(InputError, match="'th'"):
        mlqa([["x"]], ["x"], "th")


def test_task_score_and_transfer_gap(tmp_path: Path) -> None:
    labels = write(tmp_path / "labels", en=questions(a=["x y"]), de=questions(a=["x y"]), fr=questions(a=["x"]))
    predictions = write(tmp_path / "predictions", en='{"a": "x y"}', de='{"a": "x"}', fr='{"a": "y"}')
    scored = score_task("xquad", labels, predictions)
    # en EM 100 F1 100; de EM 0, P 1, R 1/2, F1 66.7; fr 0 and 0. Means: EM 33.3, F1 55.6; score (33.3 + 55.6) / 2.
    assert scored.averages == pytest.approx({"avg_exact_match": 100 / 3, "avg_f1": 500 / 9})
    assert scored.score == pytest.approx(400 / 9)
    # By language the mean of both: en 100, de 33.3, fr 0; others (33.3 + 0) / 2 = 16.7; gap 83.3.
    assert scored.by_language == pytest.approx({"de": 100 / 3, "en": 100, "fr": 0})
    assert scored.transfer == pytest.approx({"english": 100, "non_english": 50 / 3, "gap": 250 / 3})


def test_gap_needs_english(tmp_path: Path) -> None:
    pairs = write(tmp_path / "labels", de="de-1\ten-1\nde-2\ten-2\n"), write(tmp_path / "mined", de="de-2\ten-2\n")
    # One pair found, right, of two: P 1, R 1/2, F1 2/3.
    assert score_task("bucc2018", *pairs).transfer == {
        "english": None,
        "non_english": pytest.approx(200 / 3),
        "gap": None,
    }


def test_group_scores_only_where_complete() -> None:
    assert group_scores({"xnli": 80, "pawsx": 60, "udpos": 50, "tatoeba": 10}) == {"classification": 70}
    # All at 90 but three QA tasks at 0: the mean is over nine tasks (540 / 9), not over four groups (270 / 4).
    groups = group_scores({name: 0 if task.group == "qa" else 90 for name, task in TASKS.items()})
    assert groups == {"classification": 90, "tagging": 90, "qa": 0, "retrieval": 90, "all_task": 60}


def test_an_average_over_fewer_languages_is_told() -> None:
    def told(*codes: str) -> str:
        return incomplete(TaskScores(TASKS["pawsx"], {code: {"accuracy": 50.0} for code in codes}))

    whole = TASKS["pawsx"].languages.split()
    assert told(*whole[:-2]) == "pawsx: no average of XTREME's, which has 7 languages: ko zh are missing"
    assert told(*whole) == told("en", "qaa") == ""


@pytest.mark.parametrize("last", ["", "\n", "\n\n", "\r\n"])
def test_line_ends_do_not_matter(tmp_path: Path, last: str) -> None:
    labels = write(tmp_path / "labels", en="NOUN\nVERB\n\nNOUN\n\n")
    predictions = write(tmp_path / "predictions", en="NOUN\r\nVERB\r\n\r\nVERB" + last)
    assert score_task("udpos", labels, predictions).averages["avg_accuracy"] == pytest.approx(200 / 3)


@pytest.mark.parametrize(
    ("name", "gold", "predicted", "message"),
    [
        ("xnli", "neutral\nneutral\n", "neutral\n", r"predictions/test-en.tsv ends at line 1, .* at line 2"),
        ("xnli", "neutral\n", "neutral\nneutral\n", "ends at line 2, .* at line 1"),
        ("xnli", "neutral\nneutral\n", "\nneutral\n", "line 1 is blank where .* has 'neutral'"),
        ("udpos", "X\nX\n\nX\n", "X\n\nX\nX\n", "line 2 is blank where .* has 'X'"),  # a word too few
        ("udpos", "X\n\nX\n", "X\nX\n\nX\n", "line 2 is 'X' where .* has blank"),  # a word too many
        ("udpos", "X\n\nX\n", "X\n", "ends at line 1, .* at line 3"),  # a sentence too few
        ("bucc2018", "de-1\ten-1\n", "de-1\ten-1\nde-2 en-2\n", "line 2 is 'de-2 en-2', not two sentence ids"),
        ("xquad", questions(a=["x"], b=["y"]), '{"a": "x"}', r"no answer to question 'b' \(1 missing in all\)"),
        ("xquad", questions(a=["x"]), '{"a": "x", "c": "z"}', "answers question 'c', which .* does not have"),
        ("xquad", questions(a=["x"]), '{"a": null}', "answers question 'a' with null"),
        ("xquad", questions(a=["x"]), '{"a": "x", "a": "y"}', "key 'a' is there twice"),
        ("xquad", questions(a=["x"]), '{"a": ', "not valid JSON: .* line 1 column 7"),
        ("xquad", questions(a=[]), '{"a": "x"}', "no right answer for question 'a'"),
        (
            "xquad",
            questions(a=["x"]).replace('"x"', "7"),
            '{"a": "x"}',
            "question 'a' with an id or an answer that is not a string",
        ),
        ("xquad", questions(a=["x"]), '{"a": ' + "[" * 99999, "not valid JSON: maximum recursion"),
        ("xquad", '{"a": "x"}', '{"a": "x"}', "labels/test-en.json is not in SQuAD's layout"),
        ("xnli", "\n", "\n", "labels/test-en.tsv is empty"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, name: str, gold: str, predicted: str, message: str) -> None:
    labels, predictions = write(tmp_path / "labels", en=gold), write(tmp_path / "predictions", en=predicted)
    with pytest.raises(InputError, match=message) as error:
        score_task(name, labels, predictions)
    assert "\n" not in str(error.value)


def test_other_encodings_and_other_languages_are_named(tmp_path: Path) -> None:
    labels, predictions = tmp_path / "labels", tmp_path / "predictions"
    write(labels, en="0\n1\n")
    with pytest.raises(InputError, match=r"predictions/test-en.tsv is missing"):
        score_task("tatoeba", labels, predictions)
    write(predictions, en="0\n1\n", fr="0\n")
    with pytest.raises(InputError, match=r"predictions/test-fr.tsv has no label file"):
        score_task("tatoeba", labels, predictions)
    (predictions / "test-fr.tsv").unlink()
    (predictions / "test-en.tsv").write_bytes(b"0\n\xff\n")
    with pytest.raises(InputError, match=r"test-en.tsv line 2 is not UTF-8"):
        score_task("tatoeba", labels, predictions)
    with pytest.raises(InputError, match=r"no label file test-<language>\.json"):
        score_task("xquad", labels, predictions)


def test_stage_score_writes_metrics_and_cells_or_one_line(tmp_path: Path) -> None:
    write(tmp_path / "data/labels/xnli", en="neutral\nentailment\n", de="neutral\nentailment\n")
    write(tmp_path / "predictions/xnli", en="neutral\nentailment\n", de="neutral\nneutral\n")
    write(tmp_path / "data/labels/tatoeba", de="0\n1\n")
    write(tmp_path / "predictions/tatoeba", de="0\n1\n")
    for name, facts in {
        "targets/xnli": {"xnli": {"accuracy": 62.5}, "flags": {"xnli": "not learned"}},
        "targets/tatoeba": {"layer": 2},
    }.items():
        (tmp_path / "metrics" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "metrics" / f"{name}.json").write_text(json.dumps(facts))
    probes = {"1-mnli": {"retention": {"1-mnli": {"mnli": {"accuracy": 90.0}}}, "retrieval": [10.0]}}
    probes["1-mnli"] |= {"flags": {"mnli": "collapsed to 'neutral'"}}
    (tmp_path / "probes.json").write_text(json.dumps(probes))
    params = {"order": ["mnli"], "leaks": {"xnli": ["mnli"], "tatoeba": []}, "probed": "probes.json"}
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    done = stage("score.py", cwd=tmp_path)
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
        "xnli": {"score": 75, "english": 100, "non_english": 50, "gap": 50, "leak": "mnli"},
        "tatoeba": {"score": 100, "non_english": 100},
    }
    assert json.loads((tmp_path / "metrics/cells.json").read_text()) == {
        "targets": {
            "xnli": {"validation": 62.5, "languages": {"de": 50, "en": 100}},
            "tatoeba": {"validation": None, "languages": {"de": 100}},
        },
        "steps": probes,
    }

    (tmp_path / "predictions/xnli/test-de.tsv").unlink()
    before = (tmp_path / "metrics/summary.json").read_bytes()
    failed = stage("score.py", cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: predictions/xnli/test-de.tsv is missing")
    assert failed.stderr.count("\n") == 1
    assert (tmp_path / "metrics/summary.json").read_bytes() == before


def test_evaluate_says_what_it_does_not_score(tmp_path: Path) -> None:
    labels, predictions = tmp_path / "labels", tmp_path / "predictions"
    write(labels / "tatoeba", fr="0\n1\n")
    write(labels / "xnli", en="neutral\n")
    write(predictions / "tatoeba", fr="0\n0\n")
    write(predictions / "XNLI", en="neutral\n")
    arguments = ("--labels", labels, "--predictions", predictions, "--languages")
    done = stage("evaluate.py", *arguments, cwd=tmp_path)
    assert json.loads(done.stdout) == {"tatoeba": {"avg_accuracy": 50, "languages": {"fr": {"accuracy": 50}}}}
    assert done.stderr.splitlines() == [
        f"xnli: not scored, it is in {labels} only",
        "tatoeba: no average of XTREME's, which has 36 languages: ar he vi id jv and 30 more are missing",
        f"{predictions}/XNLI: not scored, there is no such task",
    ]

    shutil.rmtree(predictions / "tatoeba")
    failed = stage("evaluate.py", *arguments, cwd=tmp_path)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "no task in common" in failed.stderr
