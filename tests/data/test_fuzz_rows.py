"""Rows from a user's own files and from the hub: every row is read unchanged, or an error names its place."""

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import tokenized
from fuzzing import broken, case_counts, fuzz, refused
from stiltwalk.data.own import source
from stiltwalk.tasks.base_data.hub_columns import HubColumns
from stiltwalk.tasks.base_data.kind_rows import load_rows
from stiltwalk.tasks.base_data.row_tokenizer import SubwordTokenizer

# A user's own files

LABELS = ["yes", "no", "NP/N"]
OWN_FILES = {
    "pair": "who sees\tthe cat\tyes\nשלום עולם\tمی\u200cخواهم\tno\n\nx\u202ey\tz\u2028z\tno\n",
    "tagging": "The\tNP/N\ncat\tno\n\nשלום\tyes\nمی\u200cخواهم\tno\n",
    "mlm": "the cat\nשלום\n\nمی\u200cخواهم\n",
    "lexical": "cat\tגתול\nمی\u200cخواهم\tdog\n",
    "choice": "who sees\tthe cat\ta dog\tשלום\tyes\nwho\tx\ty\tz\tNP/N\n",
}
CORPORA = {
    "zh": "zh-1\t你好\nzh-2\t再\u200b见\n",
    "en": "en-1\tBye.\nen-2\tHello.\n",
    "gold": "zh-1\ten-2\nzh-2\ten-1\n",
}


def text_lines(data: bytes) -> list[str]:
    """Return the lines of a text file that are not blank."""
    assert b"\0" not in data
    lines = [line.rstrip("\r") for line in data.decode().removeprefix("\ufeff").split("\n")]
    return [line for line in lines if line.strip()]


def rows_as_lines(kind: str, rows: list[dict[str, Any]]) -> list[str]:
    if kind == "tagging":
        return [f"{token}\t{tag}" for row in rows for token, tag in zip(row["tokens"], row["tags"], strict=True)]
    if kind == "choice":
        return ["\t".join([row["prompt"], *row["choices"], LABELS[row["label"]]]) for row in rows]
    return ["\t".join(row.values()) for row in rows]


def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to tmp_path; return the folder for a user's own files of the task `mine`."""
    monkeypatch.chdir(tmp_path)
    folder = Path("data/own/mine")
    folder.mkdir(parents=True)
    return folder


@case_counts(1000, 40)
def test_a_users_file_is_read_unchanged_or_its_line_is_named(
    cases: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = own_folder(tmp_path, monkeypatch) / "train.tsv"

    @fuzz(cases)
    @given(
        st.sampled_from(list(OWN_FILES)).flatmap(
            lambda kind: st.tuples(st.just(kind), broken(OWN_FILES[kind].encode()))
        )
    )
    def check(case: tuple[str, bytes]) -> None:
        kind, data = case
        path.write_bytes(data)
        with refused(f"{path} line ", f"{path} has no rows", f"{path} has one tag on every line") as messages:
            sample = {"train": None, "seed": 0}
            table, _ = source.read("mine", {"kind": kind, "labels": LABELS, "sample": sample}, "train")
        if not messages:
            rows = table.to_pylist()
            assert rows_as_lines(kind, rows) == text_lines(data)  # nothing lost, nothing changed
            assert all(row["label"] in LABELS for row in rows if kind == "pair")
            assert all(tag in LABELS for row in rows for tag in row.get("tags", []))
            assert not any(value.strip() == "" for row in rows for value in row.values() if isinstance(value, str))

    check()


SQUAD = """{"version": "2.0", "data": [{"title": "Anna", "paragraphs": [
 {"context": "Anna sees שלום.", "qas": [
  {"id": "a", "question": "Who sees?", "answers": [{"text": "Anna", "answer_start": 0}], "is_impossible": false},
  {"id": "b", "question": "Who is seen?", "answers": [{"text": "שלום", "answer_start": 10}]},
  {"id": "c", "question": "Why?", "answers": [], "is_impossible": true}]}]}]}
"""


@case_counts(500, 40)
def test_a_users_questions_are_read_or_their_place_is_named(
    cases: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = own_folder(tmp_path, monkeypatch) / "train.json"

    @fuzz(cases)
    @given(broken(SQUAD.encode()))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        with refused(str(path)) as messages:
            table, _ = source.read("mine", {"kind": "qa", "sample": {"train": None, "seed": 0}}, "train")
        if not messages:
            rows = table.to_pylist()
            assert len({row["id"] for row in rows}) == len(rows) > 0
            for row in rows:
                answers = zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
                assert all(text and row["context"].startswith(text, start) for text, start in answers)

    check()


@case_counts(500, 20)
def test_a_users_corpora_are_read_unchanged_or_the_line_is_named(
    cases: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = own_folder(tmp_path, monkeypatch)

    @fuzz(cases)
    @given(st.sampled_from(list(CORPORA)).flatmap(lambda end: st.tuples(st.just(end), broken(CORPORA[end].encode()))))
    def check(case: tuple[str, bytes]) -> None:
        files = {end: text.encode() for end, text in CORPORA.items()} | {case[0]: case[1]}
        record = {"kind": "mining", "parts": {"test": "dev"}}
        for end, data in files.items():
            (folder / f"zh-en.dev.{end}").write_bytes(data)
        with refused(*(f"{folder}/zh-en.dev.{end}" for end in CORPORA)) as messages:
            table, gold, _ = source.read_pairs("mine", record, "test", "zh")
        if not messages:
            rows = table.to_pylist()
            assert [f"{row['id']}\t{row['text']}" for row in rows] == text_lines(files["zh"]) + text_lines(files["en"])
            assert ["\t".join(pair) for pair in gold] == text_lines(files["gold"]) != []
            ids = [(row["side"], row["id"]) for row in rows]
            assert len(set(ids)) == len(ids) and all(("source", a) in ids and ("target", b) in ids for a, b in gold)

    check()


@pytest.mark.parametrize(
    ("kind", "line", "fits"),
    [
        ("mlm", "{0}", True),
        ("lexical", "{0}\t{0}", True),
        ("lexical", "{0}", False),
        ("pair", "{0}\t{0}\tyes", True),
        ("pair", "{0}\t{0}", False),
        ("choice", "{0}\t{0}\t{0}\t{0}\tyes", True),
        ("tagging", "{0}\tno", True),
        ("tagging", "{0}\t{0}", False),
    ],
)
def test_a_line_of_ten_megabytes_is_read_or_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, line: str, fits: bool
) -> None:
    folder = own_folder(tmp_path, monkeypatch)
    text = line.format("ab " * 3_500_000 + "c")
    (folder / "train.tsv").write_text(text)
    with refused("train.tsv line 1 ") as messages:
        record = {"kind": kind, "labels": LABELS, "sample": {"train": None, "seed": 0}}
        table, _ = source.read("mine", record, "train")
        assert rows_as_lines(kind, table.to_pylist()) == [text]
    assert bool(messages) != fits


# Tables from the hub

NLI = ["entailment", "neutral", "contradiction"]
CONTEXT = "Anna sees the red cat. שלום Ben."
TABLES: dict[str, tuple[list[str], dict[str, list[Any]]]] = {
    "pair": (NLI, {"text_a": ["a", "שלום", "a"], "text_b": ["b", "می\u200cخواهم", "c"], "label": [0, 2, -1]}),
    "tagging": (
        NLI,
        {"tokens": [["the", "cat"], ["שלום\u200b"], []], "tags": [["neutral", "neutral"], ["entailment"], []]},
    ),
    "qa": (
        [],
        {
            "id": ["q1", "q2", "q3"],
            "context": [CONTEXT] * 3,
            "question": ["who sees the cat?", "who?", "what?"],
            "answers": [
                {"text": ["Anna"], "answer_start": [0]},
                {"text": ["שלום"], "answer_start": [20]},
                {"text": [], "answer_start": []},
            ],
        },
    ),
    "choice": (
        ["A", "B"],
        {"prompt": ["who?", "what?"], "stem": ["it", "is"], "choices": [["a", "b"], ["c", "d"]], "label": ["A", "B"]},
    ),
    "mlm": ([], {"text": ["the cat", " ", "שלום"]}),
    "retrieval": ([], {"source": ["a\n", "שלום"], "target": ["b", "\u200bc"]}),
    "mining": ([], {"source": ["a"], "target": ["b"], "source_id": ["x1"], "target_id": ["e1"]}),
}
SCALARS = [None, "", " ", "x", "7", "neutral", "Anna\0", "\u202ex", 0, -1, 3, 10**12, 2.5, math.nan, True, b"\xff"]
LISTS = [[], ["a"], ["a", None], [1], [["a"]]]
ANSWERS = [
    {},
    {"text": ["a"]},
    {"text": ["x"], "answer_start": []},
    {"text": ["Anna"], "answer_start": [99]},
    {"text": [None], "answer_start": [0]},
    {"text": "Anna", "answer_start": [0, 1, 2, 3]},
    {"text": None, "answer_start": None},
    {"text": ["Anna"], "answer_start": [None]},
    {"text": ["Anna"], "answer_start": [0.5]},
]
OPTIONS: dict[str, Any] = {"max_length": 16, "doc_stride": 4, "max_query_length": 4, "mask": 0.5, "unanswerable": True}
CELLS: st.SearchStrategy[Any] = st.sampled_from([*SCALARS, *LISTS, *ANSWERS])


def check_row(kind: str, row: dict[str, Any], labels: list[str], training: bool) -> None:
    if kind == "pair":
        assert row["label"] in labels
    if kind == "tagging":
        assert (
            len(row["tokens"]) == len(row["tags"]) > 0 and set(row["tags"]) <= set(labels) and None not in row["tokens"]
        )
    if kind == "choice":
        assert len(row["choices"]) == len(labels) > row["label"] >= 0
    if kind == "qa":
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            assert (start == -1 and not training) or row["context"][start : start + len(text)] == text
    assert all(value is not None for value in row.values())


@case_counts(2000, 60)
def test_a_table_from_the_hub_has_valid_rows_or_is_refused(cases: int, subwords: SubwordTokenizer):
    @fuzz(cases)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        kind = data.draw(st.sampled_from(list(TABLES)))
        labels, rows = copy.deepcopy(TABLES[kind])
        name, cell = data.draw(st.sampled_from(list(rows))), data.draw(CELLS)
        everywhere = data.draw(st.booleans())  # Arrow has no type for most mixed columns
        rows[name] = [cell if everywhere or row == 0 else value for row, value in enumerate(rows[name])]
        type_ = data.draw(
            st.sampled_from([None, None, pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
        )
        training = data.draw(st.booleans())
        try:
            raw = pa.table(rows)
            if type_ and pa.types.is_string(raw.schema.field(name).type):
                raw = raw.set_column(raw.schema.get_field_index(name), name, raw[name].cast(type_))
        except (pa.ArrowException, TypeError, OverflowError):
            return  # no such table
        with refused("a/b (all): row ", f"a/b (all): {name}", "a/b (all): columns do not fit"):
            kind_rows = load_rows(kind)
            converted = kind_rows.convert(HubColumns(raw, dict.fromkeys(rows), labels, training, "a/b (all)"))
            fit = ~np.any([np.zeros(len(converted.table), bool), *converted.unfit.values()], axis=0)
            table = converted.table.filter(pa.array(fit))
            assert table.schema == kind_rows.schema
            for row in table.to_pylist():
                check_row(kind, row, labels, training)
            if kind == "pair":
                assert table.select(["text_a", "text_b"]) == raw.select(["text_a", "text_b"]).filter(
                    pa.array(fit)
                ).cast(table.select(["text_a", "text_b"]).schema)
            if len(table) and kind != "mining":
                tokenized(kind, table, training, OPTIONS | {"labels": labels}, subwords)

    check()
