"""A user's own rows."""

import json
from pathlib import Path

import pytest

from stiltwalk.data import own
from stiltwalk.data.own_files import own_digest
from stiltwalk.utils.errors import InputError

SAMPLE = {"train": None, "validation": 2, "seed": 0}
SHARED = Path(__file__).resolve().parents[3] / "shared" / "ccg"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data/own/ccg"
    folder.mkdir(parents=True)
    return folder


def test_other_rows_have_another_digest(folder: Path):
    """It is a parameter of the data stage: experiments on other rows are told apart, and a sweep refuses to go on."""
    file = folder / "train.tsv"
    file.write_text("The\tNP/N\n")
    first = own_digest("ccg")
    file.write_text("The\tN/N\n")
    second = own_digest("ccg")
    file.rename(folder / "validation.tsv")
    assert len({first, second, own_digest("ccg")}) == 3


def test_sentences_of_tokens_and_tags(folder: Path):
    (folder / "train.tsv").write_bytes("The\tNP/N\r\ncat\tN\r\n\r\n\r\nÉté\tNP\n\n".encode())
    table, origin = own.read("ccg", {"kind": "tagging", "labels": None, "sample": SAMPLE}, "train")
    assert table.to_pylist() == [{"tokens": ["The", "cat"], "tags": ["NP/N", "N"]}, {"tokens": ["Été"], "tags": ["NP"]}]
    assert (origin["rows_read"], origin["rows_used"]) == (2, 2)


def test_a_sentence_a_line_is_read_as_jiant_has_it(folder: Path):
    (folder / "train.tsv").write_text("The cat\tNP/N N\n\nYes\tS\nNo\tS\nÉté .\tNP .\n")
    record = {"kind": "tagging", "labels": None, "sample": SAMPLE}
    table, _ = own.read("ccg", record, "train")
    tokens = [["The", "cat"], ["Yes"], ["No"], ["Été", "."]]
    assert table.to_pydict() == {"tokens": tokens, "tags": [["NP/N", "N"], ["S"], ["S"], ["NP", "."]]}
    # A token may have a space in it, as in Kazakh; a tag may not.
    (folder / "train.tsv").write_text("a b\tNP\nc\tN\n")
    assert own.read("ccg", record, "train")[0].to_pydict() == {"tokens": [["a b", "c"]], "tags": [["NP", "N"]]}


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("tagging", b"a b\tX Y\na b\tX Y Z\n", "train.tsv line 2 has 2 tokens and 3 tags"),
        ("tagging", b"The\tNP/N\ncat\n", "train.tsv line 2 is 'cat', not token<TAB>tag"),
        ("tagging", b"The\tNP/N\tx\n", "line 1 is 'The\\\\tNP/N\\\\tx', not token<TAB>tag"),
        ("tagging", b"a\tb\n\xff\tc\n", "line 2 is not UTF-8"),
        ("tagging", b"\n\n", "train.tsv has no rows"),
        ("pair", b"a\tb\tyes\nc\td\tmaybe\n", "line 2 has the label 'maybe'; the record's labels are no, yes"),
        ("choice", b"p\tx\ty\tyes\nq\tx\tno\n", "line 2 is .*, not prompt<TAB>answer<TAB>answer<TAB>label"),
        ("mining", b"a", "own rows can be of the kinds tagging, pair, choice, qa, text, lexical, not mining"),
    ],
)
def test_a_bad_line_is_named(folder: Path, kind: str, text: bytes, said: str):
    (folder / "train.tsv").write_bytes(text)
    labels = ["no", "yes"] if kind in ("pair", "choice") else None
    with pytest.raises(InputError, match=said):
        own.read("ccg", {"kind": kind, "labels": labels, "sample": SAMPLE}, "train")


def test_choices_are_numbered_by_the_records_labels(folder: Path):
    (folder / "train.tsv").write_text("The cat\tsleeps.\tis a stone.\tB\n")
    table, _ = own.read("ccg", {"kind": "choice", "labels": ["A", "B"], "sample": SAMPLE}, "train")
    assert table.to_pylist() == [{"prompt": "The cat", "choices": ["sleeps.", "is a stone."], "label": 1}]


def squad(**question) -> str:
    asked = {"id": "q1", "question": "Who sees?", "answers": [{"text": "Anna", "answer_start": 0}]} | question
    return json.dumps({"data": [{"paragraphs": [{"context": "Anna sees Bob.", "qas": [asked]}]}]})


def test_questions_are_read_from_squads_layout(folder: Path):
    (folder / "train.json").write_text(squad())
    record = {"kind": "qa", "sample": SAMPLE}
    (row,) = own.read("ccg", record, "train")[0].to_pylist()
    assert row["context"] == "Anna sees Bob." and row["answers"] == {"text": ["Anna"], "answer_start": [0]}
    (folder / "train.json").write_text(squad(answers=[], is_impossible=True))
    assert own.read("ccg", record, "train")[0].to_pylist()[0]["answers"]["text"] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "train.json is not JSON"),
        ("[]", "train.json: data is not a list of objects"),
        ('{"data": [{"paragraphs": [3]}]}', "train.json: data.0.paragraphs is not a list of objects"),
        ('{"data": ' + "9" * 5000 + "}", "train.json is not JSON"),
        (squad(id="\ud800"), "data.0.paragraphs.0.qas.0 has no text as its id"),
        (squad(question=" "), "data.0.paragraphs.0.qas.0 has no text as its question"),
        (squad(answers=[]), "has no answers, nor is_impossible: true"),
        (squad(answers=[{"text": "Bob", "answer_start": 9}]), "has the answer 'Bob' at 9, where the context has not"),
        (squad(answers=5), "qas.0.answers is not a list"),
        (squad(answers=[None]), "has the answer 'None' at None"),
    ],
)
def test_a_bad_question_is_named(folder: Path, text: str, said: str):
    (folder / "train.json").write_text(text)
    with pytest.raises(InputError, match=said):
        own.read("ccg", {"kind": "qa", "sample": SAMPLE}, "train")


def test_a_sample_is_drawn_by_number(folder: Path):
    (folder / "validation.tsv").write_text("".join(f"text {i}\n" for i in range(9)))
    table, _ = own.read("ccg", {"kind": "text", "sample": SAMPLE}, "validation")
    again, _ = own.read("ccg", {"kind": "text", "sample": SAMPLE}, "validation")
    assert len(table) == 2 and table == again


def bucc(folder: Path, gold: str = "zh-1\ten-2\n") -> dict:
    (folder / "zh-en.dev.zh").write_text("zh-1\t你好\nzh-2\t再见\n", encoding="utf-8")
    (folder / "zh-en.dev.en").write_text("en-1\tBye.\nen-2\tHello.\n")
    (folder / "zh-en.dev.gold").write_text(gold)
    return {"kind": "mining", "parts": {"validation": "dev", "test": "test"}}


def test_corpora_in_the_shared_tasks_layout(folder: Path):
    table, gold, origin = own.pairs("ccg", bucc(folder), "validation", "zh")
    assert table.to_pylist()[1:3] == [
        {"side": "source", "id": "zh-2", "text": "再见"},
        {"side": "target", "id": "en-1", "text": "Bye."},
    ]
    assert gold == [("zh-1", "en-2")] and origin["sentences"] == {"source": 2, "target": 2}
    with pytest.raises(InputError, match=r"zh-en.dev.gold line 1 is 'zh-1\\ten-9', not the ids of a sentence of zh"):
        own.pairs("ccg", bucc(folder, "zh-1\ten-9\n"), "validation", "zh")
    with pytest.raises(InputError, match=r"zh-en\.test\.zh cannot be read"):
        own.pairs("ccg", bucc(folder), "test", "zh")


def test_a_real_file_of_supertags(folder: Path):
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} with a file of supertags is not here")
    (folder / "train.tsv").symlink_to(SHARED / "train.tsv")
    table, _ = own.read("ccg", {"kind": "tagging", "labels": None, "sample": SAMPLE}, "train")
    assert len(table) == 12243 and sum(map(len, table["tags"].to_pylist())) == 193821
