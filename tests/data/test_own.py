"""Rows from a user's own files."""

import json
from pathlib import Path
from typing import Any

import pytest

from stiltwalk.data.own import source
from stiltwalk.data.own.files import own_digest, own_file_names
from stiltwalk.utils.errors import InputError

SAMPLE = {"train": None, "validation": 2, "seed": 0}
SHARED = Path(__file__).resolve().parents[3] / "shared" / "ccg"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data/own/ccg"
    folder.mkdir(parents=True)
    return folder


def test_other_files_have_another_digest(folder: Path):
    """It is a parameter of the data stage, so that experiments on other rows have other parameters."""
    file = folder / "train.tsv"
    file.write_text("The\tNP/N\n")
    first = own_digest("ccg")
    file.write_text("The\tN/N\n")
    second = own_digest("ccg")
    file.rename(folder / "validation.tsv")
    assert len({first, second, own_digest("ccg")}) == 3


def test_files_that_changed_since_params_yaml_was_composed_are_refused(folder: Path):
    (folder / "train.tsv").write_text("The\tNP/N\n")
    record = {"kind": "tagging", "labels": None, "sample": SAMPLE, "digest": own_digest("ccg")}
    source.read("ccg", record, "train")
    (folder / "train.tsv").write_text("The\tN/N\n")
    message = "^data/own/ccg changed since params.yaml was composed; repeat your `dvc exp run` command, with its -S$"
    with pytest.raises(InputError, match=message):
        source.read("ccg", record, "train")


def test_corpora_that_changed_since_params_yaml_was_composed_are_refused(folder: Path):
    record = put_corpora(folder)
    record |= {"digest": own_digest("ccg")}
    source.read_pairs("ccg", record, "validation", "zh")
    (folder / "zh-en.dev.en").write_text("en-1\tBye!\nen-2\tHello.\n")
    message = "^data/own/ccg changed since params.yaml was composed; repeat your `dvc exp run` command, with its -S$"
    with pytest.raises(InputError, match=message):
        source.read_pairs("ccg", record, "validation", "zh")


def test_every_kind_names_the_files_that_it_needs():
    assert own_file_names({"kind": "tagging"}) == ["train.tsv", "validation.tsv"]
    assert own_file_names({"kind": "qa"}) == ["train.json", "validation.json"]
    corpora = {"kind": "mining", "languages": ["de", "zh"], "parts": {"validation": "dev", "test": "test"}}
    names = own_file_names(corpora)
    assert names[:4] == ["de-en.dev.de", "de-en.dev.en", "de-en.dev.gold", "de-en.test.de"] and len(names) == 12


def test_sentences_with_one_token_per_line_are_read(folder: Path):
    (folder / "train.tsv").write_bytes("The\tNP/N\r\ncat\tN\r\n\r\n\r\nÉté\tNP\n\n".encode())
    table, origin = source.read("ccg", {"kind": "tagging", "labels": None, "sample": SAMPLE}, "train")
    assert table.to_pylist() == [{"tokens": ["The", "cat"], "tags": ["NP/N", "N"]}, {"tokens": ["Été"], "tags": ["NP"]}]
    assert (origin["rows_read"], origin["rows_used"]) == (2, 2)


def test_sentences_with_one_line_each_are_read(folder: Path):
    (folder / "train.tsv").write_text("The cat\tNP/N N\n\nYes\tS\nNo\tS\nÉté .\tNP .\n")
    record = {"kind": "tagging", "labels": None, "sample": SAMPLE}
    message = "train.tsv line 1 has several tags, as where every line is a sentence, but line 2 is empty, as where"
    with pytest.raises(InputError, match=message):
        source.read("ccg", record, "train")
    table, _ = source.read("ccg", record | {"layout": "sentences"}, "train")
    tokens = [["The", "cat"], ["Yes"], ["No"], ["Été", "."]]
    assert table.to_pydict() == {"tokens": tokens, "tags": [["NP/N", "N"], ["S"], ["S"], ["NP", "."]]}
    # A token may contain a space, as in Kazakh; a tag may not.
    (folder / "train.tsv").write_text("a b\tNP\nc\tN\n")
    assert source.read("ccg", record, "train")[0].to_pydict() == {"tokens": [["a b", "c"]], "tags": [["NP", "N"]]}


def test_a_file_of_sentences_of_one_word_needs_a_stated_layout(folder: Path):
    """Without one it was read as a single sentence."""
    (folder / "train.tsv").write_text("Yes\tS\nNo\tS\n")
    record = {"kind": "tagging", "labels": None, "sample": SAMPLE}
    with pytest.raises(
        InputError, match=r"train.tsv has one tag on every line .*; write layout: tokens or layout: sent"
    ):
        source.read("ccg", record, "train")
    for layout, sentences in (("tokens", [["Yes", "No"]]), ("sentences", [["Yes"], ["No"]])):
        table, _ = source.read("ccg", record | {"layout": layout}, "train")
        assert table["tokens"].to_pylist() == sentences


def test_a_space_in_one_token_and_tag_does_not_change_how_a_file_is_read(folder: Path):
    """It turned every token of a file of CCGbank into a sentence."""
    (folder / "train.tsv").write_text("I\tNP\nsee\tS\n\n1 / 2\tN / N\ncup\tN\n")
    record = {"kind": "tagging", "labels": None, "sample": SAMPLE}
    with pytest.raises(InputError, match=r"train.tsv line 4 has several tags, .*, but line 3 is empty"):
        source.read("ccg", record, "train")


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (
            "tagging",
            b"a b\tX Y\na b\tX Y Z\n",
            "train.tsv line 2 has 2 tokens and 3 tags; a tag must not contain a space",
        ),
        ("tagging", b"The\tNP/N\ncat\n", "train.tsv line 2 is 'cat', not token<TAB>tag"),
        ("tagging", b"The\tNP/N\tx\n", "line 1 is 'The\\\\tNP/N\\\\tx', not token<TAB>tag"),
        ("tagging", b"a\tb\n\xff\tc\n", "line 2 is not UTF-8"),
        ("tagging", b"\n\n", "train.tsv has no rows"),
        ("pair", b"a\tb\tyes\nc\td\tmaybe\n", "line 2 has the label 'maybe'; its record lists the labels no, yes"),
        ("choice", b"p\tx\ty\tyes\nq\tx\tno\n", "line 2 is .*, not prompt<TAB>answer<TAB>answer<TAB>label"),
        (
            "pair",
            "a\tb\tr\u00e9el\nc\td\tre\u0301el\n".encode(),
            r"line 2 has the label 're\\u0301el'; its record lists 'r\\xe9el', .*: the same letters in another Unicode",
        ),
        (
            "pair",
            b"a\tb\tyes\rc\td\tno\r",
            r"line 1 contains a carriage return; save the file with LF \(\\n\) at the end",
        ),
        ("pair", b'"a ""b"""\tc\tyes\n', "line 1 has CSV's quotes around field 1; save the file without them"),
        ("pair", b'a\t"b"\tyes\nc\t"d"\tno\n', "line 1, as every line, has CSV's quotes around field 2; save the file"),
        ("mining", b"a", "train.tsv line 1: own rows of a mining task are not read; remove own: true from its record"),
    ],
)
def test_a_bad_line_is_named(folder: Path, kind: str, text: bytes, message: str):
    (folder / "train.tsv").write_bytes(text)
    labels = ["no", "yes"] if kind in ("pair", "choice") else None
    if "Unicode" in message:
        labels = ["r\u00e9el", "yes"]
    with pytest.raises(InputError, match=message):
        source.read("ccg", {"kind": kind, "labels": labels, "sample": SAMPLE}, "train")


def test_quotes_that_belong_to_a_text_stay_in_it(folder: Path):
    (folder / "train.tsv").write_text('"Yes," she said.\t"No" he\tyes\n"Why?"\tb\tno\n')
    table, _ = source.read("ccg", {"kind": "pair", "labels": ["no", "yes"], "sample": SAMPLE}, "train")
    assert table["text_a"].to_pylist() == ['"Yes," she said.', '"Why?"']


def test_a_token_may_be_a_space_beyond_ascii(folder: Path):
    (folder / "train.tsv").write_text("a\tNOUN\n\u3000\tSYM\n\nb\tNOUN\n", encoding="utf-8")
    table, _ = source.read("ccg", {"kind": "tagging", "labels": None, "sample": SAMPLE}, "train")
    assert table["tokens"].to_pylist() == [["a", "\u3000"], ["b"]]


def test_the_right_choice_is_the_number_of_its_label(folder: Path):
    (folder / "train.tsv").write_text("The cat\tsleeps.\tis a stone.\tB\n")
    table, _ = source.read("ccg", {"kind": "choice", "labels": ["A", "B"], "sample": SAMPLE}, "train")
    assert table.to_pylist() == [{"prompt": "The cat", "choices": ["sleeps.", "is a stone."], "label": 1}]


def squad(**changes: Any) -> str:
    """Return a file with one question, in which these keys are changed."""
    question = {"id": "q1", "question": "Who sees?", "answers": [{"text": "Anna", "answer_start": 0}]} | changes
    return json.dumps({"data": [{"paragraphs": [{"context": "Anna sees Bob.", "qas": [question]}]}]})


def test_questions_are_read_from_squads_layout(folder: Path):
    (folder / "train.json").write_text(squad())
    record = {"kind": "qa", "sample": SAMPLE}
    (row,) = source.read("ccg", record, "train")[0].to_pylist()
    assert row["context"] == "Anna sees Bob." and row["answers"] == {"text": ["Anna"], "answer_start": [0]}
    (folder / "train.json").write_text(squad(answers=[], is_impossible=True))
    assert source.read("ccg", record, "train")[0].to_pylist()[0]["answers"]["text"] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "train.json is not JSON"),
        ("[]", "train.json: data is not a list of objects; the file needs SQuAD's layout"),
        (
            '{"data": [{"paragraphs": [3]}]}',
            "train.json: data.0.paragraphs is not a list of objects; the file needs SQuAD's layout",
        ),
        ('{"data": ' + "9" * 5000 + "}", "train.json is not JSON"),
        (squad(id="\ud800"), "data.0.paragraphs.0.qas.0: its id is missing, blank or not a valid string"),
        (squad(question=" "), "data.0.paragraphs.0.qas.0: its question is missing, blank or not a valid string"),
        (squad(answers=[]), "qas.0 has no answers; add one, or is_impossible: true"),
        (
            squad(answers=[{"text": "Bob", "answer_start": 9}]),
            "qas.0 has the answer 'Bob', which its context lacks at 9",
        ),
        (squad(answers=5), "qas.0.answers is not a list"),
        (squad(answers=[None]), "qas.0 has the answer 'None', which its context lacks at None"),
    ],
)
def test_a_bad_question_is_named(folder: Path, text: str, message: str):
    (folder / "train.json").write_text(text)
    with pytest.raises(InputError, match=message):
        source.read("ccg", {"kind": "qa", "sample": SAMPLE}, "train")


def test_a_sample_is_drawn_by_row_number(folder: Path):
    (folder / "validation.tsv").write_text("".join(f"text {i}\n" for i in range(9)))
    table, _ = source.read("ccg", {"kind": "mlm", "sample": SAMPLE}, "validation")
    again, _ = source.read("ccg", {"kind": "mlm", "sample": SAMPLE}, "validation")
    assert len(table) == 2 and table == again


def put_corpora(folder: Path, gold: str = "zh-1\ten-2\n") -> dict[str, Any]:
    """Write corpora in BUCC's layout; return their record."""
    (folder / "zh-en.dev.zh").write_text("zh-1\t你好\nzh-2\t再见\n", encoding="utf-8")
    (folder / "zh-en.dev.en").write_text("en-1\tBye.\nen-2\tHello.\n")
    (folder / "zh-en.dev.gold").write_text(gold)
    return {"kind": "mining", "parts": {"validation": "dev", "test": "test"}}


def test_corpora_are_read_from_the_layout_of_bucc(folder: Path):
    table, gold, origin = source.read_pairs("ccg", put_corpora(folder), "validation", "zh")
    assert table.to_pylist()[1:3] == [
        {"side": "source", "id": "zh-2", "text": "再见"},
        {"side": "target", "id": "en-1", "text": "Bye."},
    ]
    assert gold == [("zh-1", "en-2")] and origin["sentences"] == {"source": 2, "target": 2}
    with pytest.raises(
        InputError, match=r"zh-en.dev.gold line 1 is 'zh-1\\ten-9', not the id of a sentence in zh and of one in en"
    ):
        source.read_pairs("ccg", put_corpora(folder, "zh-1\ten-9\n"), "validation", "zh")
    with pytest.raises(InputError, match=r"zh-en\.test\.zh cannot be read"):
        source.read_pairs("ccg", put_corpora(folder), "test", "zh")


def test_a_real_file_of_supertags_is_read(folder: Path):
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} with a file of supertags is not here")
    (folder / "train.tsv").symlink_to(SHARED / "train.tsv")
    table, _ = source.read("ccg", {"kind": "tagging", "labels": None, "sample": SAMPLE}, "train")
    assert len(table) == 12243 and sum(map(len, table["tags"].to_pylist())) == 193821
