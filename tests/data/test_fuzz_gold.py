"""Gold that a row names in its own way: it is read as the row means it, or refused, or counted as lost."""

import string
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_table
from fuzzing import case_counts, fuzz, refused
from stiltwalk.data.own import source
from stiltwalk.tasks.base_data.hub_columns import HubColumns
from stiltwalk.tasks.base_data.kind_rows import load_rows
from stiltwalk.tasks.base_data.row_tokenizer import SubwordTokenizer, load_tokenizer

LETTERS, FROM_ONE, FROM_ZERO = list("ABCD"), list("1234"), list("0123")


@case_counts(600, 40)
def test_the_right_choice_is_the_one_whose_own_label_is_the_key(cases: int):
    @fuzz(cases)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        keys = data.draw(st.sampled_from([LETTERS, FROM_ONE, FROM_ZERO, list("WXYZ")]))
        record = data.draw(st.sampled_from([LETTERS, FROM_ONE]))
        rows: list[dict[str, Any]] = []
        right: list[int] = []
        for _ in range(3):
            labels = data.draw(st.permutations(keys))
            right.append(data.draw(st.integers(0, 3)))
            texts = [f"choice {label}" for label in labels]
            rows.append({"text": texts, "label": labels, "key": labels[right[-1]]})
        as_numbers = keys != LETTERS and keys[0] in string.digits and data.draw(st.booleans())
        label_column = [int(row["key"]) if as_numbers else row["key"] for row in rows]
        choices = [{"text": row["text"], "label": row["label"]} for row in rows]
        table = pa.table({"prompt": ["?"] * 3, "choices": choices, "label": label_column})
        raw = HubColumns(table, dict.fromkeys(table.column_names), record, True, "a/b (all)")
        read = load_rows("choice").convert(raw).table
        assert read["label"].to_pylist() == right
        chosen = [row["choices"][row["label"]] for row in read.to_pylist()]
        assert chosen == [f"choice {row['key']}" for row in rows]

    check()


@case_counts(400, 40)
def test_a_number_is_a_label_of_that_name_or_else_an_index(cases: int):
    @fuzz(cases)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        labels = data.draw(st.sampled_from([FROM_ONE, FROM_ZERO, ["no", "yes"], LETTERS]))
        number = data.draw(st.integers(-1, 5))
        value = data.draw(st.sampled_from([number, str(number)]))
        table = pa.table({"text_a": ["a"], "text_b": ["b"], "label": [value]})
        raw = HubColumns(table, dict.fromkeys(table.column_names), labels, True, "a/b (all)")
        with refused("a/b (all): row 0 has the label") as messages:
            (read,) = load_rows("pair").convert(raw).table["label"].to_pylist()
        if labels[0] in string.digits:
            expected = str(number) if str(number) in labels else None
        else:
            expected = labels[number] if 0 <= number < len(labels) else None
        assert messages or read == expected
        assert bool(messages) == (expected is None and number != -1)

    check()


MARKS = ["\u200b", "\u200e", "\u200f", "\u0007", " ", "\n", "\u00a0"]


@case_counts(600, 40)
def test_an_answer_is_trained_as_the_words_that_it_shows_or_counted(cases: int, subwords: SubwordTokenizer):
    """Space and marks around an answer, for which there is no token, must not move or lose it."""
    words = ["Anna", "sees", "the", "red", "cat", "שלום", "in", "Paris"]
    options = {"kind": "qa", "labels": [], "max_length": 48, "max_query_length": 8, "doc_stride": 8}

    @fuzz(cases)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        text, places = "", []
        for word in data.draw(st.lists(st.sampled_from(words), min_size=2, max_size=8)):
            text += data.draw(st.text(st.sampled_from(MARKS), max_size=2))
            places.append((len(text), len(text) + len(word)))
            text += word + data.draw(st.text(st.sampled_from(MARKS), max_size=2)) + " "
        first = data.draw(st.integers(0, len(places) - 1))
        last = data.draw(st.integers(first, len(places) - 1))
        begin, end = places[first][0], places[last][1]
        while begin and text[begin - 1] in MARKS and data.draw(st.booleans()):
            begin -= 1
        while end < len(text) and text[end] in MARKS and data.draw(st.booleans()):
            end += 1
        answer = {"text": [text[begin:end]], "answer_start": [begin]}
        raw_table = pa.table({"id": ["q"], "context": [text], "question": ["who?"], "answers": [answer]})
        raw = HubColumns(raw_table, dict.fromkeys(raw_table.column_names), [], True, "a/b (all)")
        (row,) = load_rows("qa").convert(raw).table.to_pylist()
        tokenizer = load_tokenizer(options, subwords)
        features = tokenizer.tokenize(make_table("qa", [row]), True)
        (start,), (stop,) = features["start"], features["end"]
        trained = text[features["begins"][0][start] : features["ends"][0][stop]] if start else ""
        assert shown(trained) == shown(text[begin:end])
        assert not any(tokenizer.lost.values())

    check()


def shown(text: str) -> str:
    """Return the characters of a text that can be seen."""
    return "".join(character for character in text if unicodedata.category(character)[0] not in "CZ")


def write_layout(layout: str, sentences: Sequence[Sequence[tuple[str, str]]]) -> str:
    if layout == "sentences":
        return "".join("\t".join(" ".join(column) for column in zip(*one, strict=True)) + "\n" for one in sentences)
    return "\n".join("".join(f"{token}\t{tag}\n" for token, tag in one) for one in sentences)


@case_counts(600, 40)
def test_a_file_of_tags_is_read_in_its_own_layout_or_refused(
    cases: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    path = Path("data/own/mine/train.tsv")
    path.parent.mkdir(parents=True)

    @fuzz(cases)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        token = st.sampled_from(["the", "cat", "\u3000", "שלום", "1"])
        sentence = st.lists(st.tuples(token, st.sampled_from(["N", "NP/N", "SYM"])), min_size=1, max_size=4)
        sentences: list[list[tuple[str, str]]] = data.draw(st.lists(sentence, min_size=1, max_size=4))
        layout = data.draw(st.sampled_from(["tokens", "sentences"]))
        states_layout = data.draw(st.booleans())
        spoiled = data.draw(st.booleans()) and layout == "tokens"
        if spoiled:  # as in one line of CCGbank
            place = data.draw(st.integers(0, len(sentences) - 1))
            sentences[place] = [*sentences[place], ("1 / 2", "N / N")]
        path.write_text(write_layout(layout, sentences), encoding="utf-8")
        record: dict[str, Any] = {"kind": "tagging", "labels": None, "sample": {"train": None, "seed": 0}}
        with refused(f"{path} ") as messages:
            table, _ = source.read("mine", record | ({"layout": layout} if states_layout else {}), "train")
        if states_layout:
            assert not messages
        if not messages:
            expected = [{"tokens": [a for a, _ in one], "tags": [b for _, b in one]} for one in sentences]
            fits_both = spoiled and len(sentences) == 1  # no empty line: also a sentence on each line
            assert table.to_pylist() == expected or fits_both

    check()
