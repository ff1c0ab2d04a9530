"""Conversion of the hub's rows to the columns of each kind of task."""

from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Features, List, Value

from folder_hub import NLI, FolderHub, record_of, text_pairs, use_folder_hub
from stiltwalk.data.hub import source
from stiltwalk.tasks.base_data.kind_rows import load_rows
from stiltwalk.tasks.mlm.data.rows import MAX_CHARACTERS
from stiltwalk.utils.errors import InputError


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderHub:
    return use_folder_hub(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("label", "values"),
    [
        (ClassLabel(names=["contradiction", "neutral", "entailment"]), [0, -1, 2, 1]),
        (Value("int32"), [2, -1, 0, 1]),
        (Value("string"), ["2", "-1", "0", "1"]),
        (Value("string"), ["contradiction", None, "entailment", "neutral"]),
    ],
    ids=["ClassLabel", "numbers", "numbers as text", "names"],
)
def test_labels_become_names_and_rows_without_a_label_are_dropped(hub: FolderHub, label: Any, values: list[Any]):
    hub.put(text_pairs(values), Features({"text_a": Value("string"), "text_b": Value("string"), "label": label}))
    table, origin = source.read("mnli", record_of("pair", NLI), "train")
    assert table["label"].to_pylist() == ["contradiction", "entailment", "neutral"]
    assert table["text_a"].to_pylist() == ["a0", "a2", "a3"]
    assert (origin["rows_read"], origin["rows_used"], origin["dropped"]) == (4, 3, {"unlabelled": 1})


def test_label_names_in_the_card_are_used_if_the_file_has_none(hub: FolderHub):
    names = {"class_label": {"names": {"0": "contradiction", "1": "entailment", "2": "neutral"}}}
    info = {"config_name": "all", "features": [{"name": "label", "dtype": names}]}
    hub.put(text_pairs([0, 1]), card={"license": "mit", "dataset_info": [{"config_name": "other"}, info]})
    table, origin = source.read("mnli", record_of("pair", NLI), "train")
    assert table["label"].to_pylist() == ["contradiction", "entailment"]
    assert origin["license"] == "mit"


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        ([0, 1, 3], "3 (a number without a name)"),
        ([1, 2, 3], "3 (a number without a name)"),
        (["neutral", "neutral", "contradictory"], "'contradictory'"),
    ],
)
def test_an_unknown_label_is_named_with_its_place(hub: FolderHub, labels: list[Any], shown: str):
    hub.put(text_pairs(labels))
    with pytest.raises(InputError) as caught:
        source.read("mnli", record_of("pair", NLI), "train")
    listed = "its record lists the labels entailment, neutral, contradiction"
    assert str(caught.value) == f"tasks.mnli.train: a/b (all), train: row 2 has the label {shown}; {listed}"


def test_a_number_is_a_name_where_the_record_lists_numbers(hub: FolderHub):
    hub.put(text_pairs([1, 2, 2]))
    table, _ = source.read("mnli", record_of("pair", ["1", "2"]), "train")
    assert table["label"].to_pylist() == ["1", "2", "2"]
    hub.put(text_pairs([1, 2, 0]))
    with pytest.raises(InputError, match="row 2 has the label 0; its record lists the labels 1, 2"):
        source.read("mnli", record_of("pair", ["1", "2"]), "train")


def test_answers_move_to_where_their_text_is(hub: FolderHub):
    def answer(text: list[str], start: list[int]) -> dict[str, list[Any]]:
        return {"text": text, "answer_start": start}

    context = "Anna saw Ben. Ben saw Carl."  # stripped of two blanks, which the stated starts still count
    answers = [
        answer(["Ben"], [16]),  # the second Ben is at 14, the first at 9
        answer(["Ben"], [9]),
        answer(["Dora", "Carl"], [2, 24]),
        answer(["Dora"], [0]),
        answer([], []),
    ]
    n = len(answers)
    rows: dict[str, list[Any]] = {"id": list("pqrst"), "context": [context] * n, "question": ["Who?"] * n}
    hub.put(rows | {"answers": answers})
    train, origin = source.read("squad", record_of("qa"), "train")
    assert train["id"].to_pylist() == ["p", "q", "r", "t"]
    assert train["answers"].to_pylist() == [
        answer(["Ben"], [14]),
        answer(["Ben"], [9]),
        answer(["Carl"], [22]),
        answer([], []),
    ]
    # A stated start counts what was stripped before it, so an occurrence after it is only taken if there is no other.
    hub.put({"id": ["p"], "context": [context], "question": ["Who?"], "answers": [answer(["Ben"], [13])]})
    assert source.read("squad", record_of("qa"), "train")[0]["answers"].to_pylist() == [answer(["Ben"], [9])]
    hub.put(rows | {"answers": answers})
    assert origin["dropped"] == {"answer not in context": 1}
    assert (origin["reanchored"], origin["not in context"]) == (2, 2)
    test, origin = source.read("xquad", record_of("qa", split="test"), "test")
    assert test["answers"].to_pylist()[2:4] == [answer(["Dora", "Carl"], [-1, 22]), answer(["Dora"], [-1])]
    assert origin["rows_used"] == 5


def test_tags_stay_with_their_tokens_and_empty_sentences_are_dropped(hub: FolderHub):
    features = Features({"tokens": List(Value("string")), "tags": List(ClassLabel(names=["VERB", "NOUN"]))})
    rows: dict[str, list[Any]] = {"tokens": [["dogs", "run"], [], ["go"], ["x"]], "tags": [[1, 0], [], [0], [-1]]}
    hub.put(rows, features)
    table, origin = source.read("udpos", record_of("tagging", ["NOUN", "VERB"]), "train")
    assert table.to_pylist() == [
        {"tokens": ["dogs", "run"], "tags": ["NOUN", "VERB"]},
        {"tokens": ["go"], "tags": ["VERB"]},
    ]
    assert origin["dropped"] == {"no tokens": 1, "unlabelled": 1}
    hub.put({"tokens": [["a"], ["b", "c"]], "tags": [[0], [0]]})
    with pytest.raises(InputError, match="row 1 has 2 tokens and 1 tags"):
        source.read("udpos", record_of("tagging", ["NOUN", "VERB"]), "train")
    hub.put({"tokens": [["a"], [], ["b", "c"]], "tags": [[0], [], [2, 1]]})
    with pytest.raises(InputError, match=r"row 2 has the label 2 \(a number without a name\)"):
        source.read("udpos", record_of("tagging", ["NOUN", "VERB"]), "train")


def test_the_characters_that_a_record_lists_are_removed_from_tokens(hub: FolderHub):
    hub.put({"tokens": [["می\u200cخواهم", "học sinh"], None, ["x"]], "tags": [["A", "B"], None, ["B"]]})
    record = record_of("tagging", ["A", "B"])
    plain, _ = source.read("udpos", record, "train")
    table, _ = source.read("udpos", record | {"drop_characters": "\u200c "}, "train")
    assert plain["tokens"].to_pylist() == [["می\u200cخواهم", "học sinh"], ["x"]]
    assert table["tokens"].to_pylist() == [["میخواهم", "họcsinh"], ["x"]]
    assert table["tags"].to_pylist() == plain["tags"].to_pylist() and table.schema == plain.schema


def test_line_ends_of_sentences_are_stripped(hub: FolderHub):
    hub.put({"source": ["Guten Tag. \n", "Ja.\r\n"], "target": ["Good day.\n", "Yes."]})
    table, _ = source.read("tatoeba", record_of("retrieval", split="test"), "test", "de")
    assert table.to_pylist() == [
        {"source": "Guten Tag. ", "target": "Good day."},
        {"source": "Ja.", "target": "Yes."},
    ]


def test_translation_pairs_become_corpora_without_distractors(hub: FolderHub):
    hub.put(
        {
            "source": ["一\n", "二", "一", "三"],
            "target": ["one", "two", "1", " "],  # one sentence was lost
            "source_id": ["z1", "z2", "z1", "z3"],  # one sentence in two pairs
            "target_id": ["e1", "e2", "e3", "e4"],
        }
    )
    record = record_of("mining", [], "test") | {"sample": {"test": 1, "seed": 0}}
    record["test"]["columns"] = {name: name for name in ("source", "target", "source_id", "target_id")}
    table, gold, origin = source.read_pairs("bucc_goldpairs", record, "test", "zh")
    assert table.schema == load_rows("mining").schema and origin["rows_read"] == 4
    assert origin["dropped"] == {"sides of pairs that lack a sentence": 2}
    rows = [tuple(row.values()) for row in table.to_pylist()]
    assert rows[:2] == [("source", "z1", "一"), ("source", "z2", "二")]
    assert rows[2:] == [("target", "e1", "one"), ("target", "e2", "two"), ("target", "e3", "1")]
    assert gold == [("z1", "e1"), ("z2", "e2"), ("z1", "e3")]


CHOICE_COLUMNS = {"prompt": "q", "choices": "choices", "label": "key"}


def test_choices_are_read_from_a_list_with_a_stem_before_each(hub: FolderHub):
    """HellaSwag's layout."""
    hub.put({"ctx_a": ["Anna sits."], "ctx_b": ["She"], "endings": [["reads.", "swims."]], "label": ["1"]})
    columns = {"prompt": "ctx_a", "stem": "ctx_b", "choices": "endings", "label": "label"}
    table, _ = source.read("hellaswag", record_of("choice", ["0", "1"], columns=columns), "train")
    assert table.to_pylist() == [{"prompt": "Anna sits.", "choices": ["She reads.", "She swims."], "label": 1}]


def test_choices_are_read_from_a_struct_of_lists(hub: FolderHub):
    """CommonsenseQA's layout."""
    hub.put({"q": ["Where?"], "choices": [{"label": ["A", "B"], "text": ["a", "b"]}], "key": ["A"]})
    table, _ = source.read("csqa", record_of("choice", ["A", "B"], columns=CHOICE_COLUMNS), "train")
    assert table.to_pylist() == [{"prompt": "Where?", "choices": ["a", "b"], "label": 0}]


@pytest.mark.parametrize(
    ("own", "key", "record", "right"),
    [
        (["D", "C", "B", "A"], "A", "ABCD", 3),
        (["1", "2", "3", "4"], "3", "ABCD", 2),
        (["1", "2", "3", "4"], 3, "ABCD", 2),
        (["B", "C", "D", "E"], "B", "ABCD", 0),
        (["0", "1", "2", "3"], -1, "ABCD", None),
        (None, 3, "1234", 2),
        (None, "3", "0123", 3),
        (None, 3, "ABCD", 3),
    ],
)
def test_the_right_choice_is_looked_up_in_the_rows_own_labels_first(
    hub: FolderHub, own: list[str] | None, key: Any, record: str, right: int | None
):
    texts = ["w", "x", "y", "z"]
    rows = [{"label": own, "text": texts}] if own else [texts]
    other = own[0] if own else record[0]
    keys = [key, other if isinstance(key, str) else int(other) if other.isdigit() else 0]
    hub.put({"q": ["Which?"] * 2, "choices": rows * 2, "key": keys})
    table, origin = source.read("arc", record_of("choice", list(record), columns=CHOICE_COLUMNS), "train")
    assert table["label"].to_pylist() == [*([] if right is None else [right]), 0]
    assert origin["dropped"]["unlabelled"] == (right is None)


@pytest.mark.parametrize(("own", "key"), [("ABCD", "E"), ("ABCD", "a"), ("AABC", "A"), ("1234", "0")])
def test_a_label_that_is_not_one_of_the_rows_own_is_refused(hub: FolderHub, own: str, key: str):
    hub.put({"q": ["Which?"], "choices": [{"label": list(own), "text": list("wxyz")}], "key": [key]})
    with pytest.raises(InputError, match=f"row 0 has the label '{key}'; it must be one of the labels of the row's own"):
        source.read("arc", record_of("choice", list("ABCD"), columns=CHOICE_COLUMNS), "train")


def test_choices_are_read_from_numbered_columns_with_a_question_after_the_prompt(hub: FolderHub):
    """Cosmos QA's layout."""
    hub.put({"context": ["C."], "question": ["Q?"], "answer1": ["b"], "answer0": ["a"], "label": [1]})
    columns = {"prompt": "context", "question": "question", "choice0": "answer0", "choice1": "answer1"}
    record = record_of("choice", ["0", "1"], columns=columns | {"label": "label"})
    table, _ = source.read("cosmosqa", record, "train")
    assert table.to_pylist() == [{"prompt": "C. Q?", "choices": ["a", "b"], "label": 1}]


def test_numbered_columns_are_in_the_order_of_their_numbers(hub: FolderHub):
    labels = [str(i) for i in range(11)]  # choice10 is the last
    answers: dict[str, list[Any]] = {f"answer{i}": [label] for i, label in enumerate(labels)}
    hub.put(answers | {"p": ["Q?"], "label": [10]})
    columns = {"prompt": "p", "label": "label"} | {f"choice{i}": f"answer{i}" for i in range(11)}
    table, _ = source.read("eleven", record_of("choice", labels, columns=columns), "train")
    assert table.to_pylist() == [{"prompt": "Q?", "choices": labels, "label": 10}]


def test_a_row_with_more_choices_than_labels_is_refused(hub: FolderHub):
    hub.put({"q": ["Where?"], "choices": [["a", "b", "c"]], "key": ["A"]})
    expected = r"row 0 has the choices \['a', 'b', 'c'\]; it needs one text for each label of its record: A, B"
    with pytest.raises(InputError, match=expected):
        source.read("csqa", record_of("choice", ["A", "B"], columns=CHOICE_COLUMNS), "train")


def test_only_the_beginning_of_a_long_text_is_kept(hub: FolderHub):
    hub.put({"text": ["ab" * MAX_CHARACTERS, "short", " "]})
    table, origin = source.read("mlm", record_of("mlm", []), "train")
    assert [len(text) for text in table["text"].to_pylist()] == [MAX_CHARACTERS, 5]
    assert origin["dropped"] == {"no text": 1}
