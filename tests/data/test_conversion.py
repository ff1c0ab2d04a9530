"""The hub source without a hub: the records, and the conversion of rows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import ClassLabel, Dataset, Features, List, Value
from omegaconf import OmegaConf

from stiltwalk.data import hub
from stiltwalk.data.hub import fetch
from stiltwalk.data.hub.convert import LONGEST, Converted, join
from stiltwalk.data.hub.layout import split_files
from stiltwalk.tasks.tables import SCHEMAS
from stiltwalk.utils.errors import InputError
from xtreme import check_questions

ROOT = Path(__file__).resolve().parents[2]
NLI = ["entailment", "neutral", "contradiction"]


# The records


def records() -> list[tuple[str, str, dict[str, Any]]]:
    trees = [yaml.safe_load((ROOT / f"conf/{name}.yaml").read_text(encoding="utf-8")) for name in ("tasks", "xtreme")]
    return [(group, task, record) for tree in trees for group in tree for task, record in tree[group].items()]


@pytest.mark.parametrize(("group", "task", "record"), records())
def test_record_has_all_that_its_kind_needs(group: str, task: str, record: dict[str, Any]):
    kind, languages = record["kind"], record.get("languages", [])
    splits = {"tasks": {"train", "validation"}, "xtreme": {"train", "validation", "test"}}[group]
    if record.get("own"):
        assert not set(record) & splits
        return
    splits = {"retrieval": {"test"}, "mining": {"validation", "test"}}.get(kind, splits)
    assert set(record) & {"train", "validation", "test"} == splits
    assert (kind in ("pair", "tagging", "choice")) == bool(record.get("labels"))
    parts = [(split, part) for split in splits & set(record) for part in listed(record[split])]
    for split, facts in parts:
        assert facts["path"].count("/") == 1 and facts["revision"]
        if kind == "choice":
            assert {"prompt", "label"} < set(facts["columns"])
            assert set(facts["columns"]) - {"prompt", "label"} <= {"question", "stem", "choices"} | {
                f"choice{i}" for i in range(len(record["labels"]))
            }
        elif kind == "mining":
            assert set(facts["columns"]) == {"source", "target", "source_id", "target_id"}
        else:
            assert set(facts["columns"]) == set(SCHEMAS[kind].names)
        templated = "{language}" in json.dumps(facts)
        assert templated == (split == "test" or "each" in facts or kind == "mining")
        assert set(facts.get("codes", {})) in (set(), set(languages))
        published = facts.get("published", 1)  # Wikipedia's articles are nobody's to count
        assert set(published) == set(languages) if isinstance(published, dict) else published > 0


def listed(facts: Any) -> list[dict[str, Any]]:
    return facts if isinstance(facts, list) else [facts]


def test_targets_have_the_languages_of_xtreme():
    found = {task: record["languages"] for group, task, record in records() if group == "xtreme"}
    assert {task: len(set(languages)) for task, languages in found.items()} == {
        "xnli": 15,
        "pawsx": 7,
        "udpos": 33,
        "panx": 40,
        "xquad": 11,
        "mlqa": 7,
        "tydiqa": 9,
        "bucc2018": 4,
        "bucc_goldpairs": 4,
        "tatoeba": 36,
    }
    assert sum(map(len, found.values())) - len(found["bucc_goldpairs"]) == 162
    assert all(languages == sorted(languages) for languages in found.values())


def test_records_mean_the_same_to_hydra():
    for name in ("tasks", "xtreme"):
        file = ROOT / f"conf/{name}.yaml"
        assert OmegaConf.to_container(OmegaConf.load(file), resolve=True) == yaml.safe_load(file.read_text("utf-8"))


# Rows, from a hub in a folder


class Shelf:
    """Data sets in a folder, read in place of the hub."""

    def __init__(self, folder: Path):
        self.folder = folder

    def put(self, rows: dict[str, list[Any]], features: Features | None = None, card: dict[str, Any] | None = None):
        """The rows as split `train` of config `all` of data set a/b."""
        file = self.folder / "a/b/all/train/0000.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        if features:
            Dataset.from_dict(rows, features=features).to_parquet(file)
        else:
            pq.write_table(pa.table(rows), file)
        if card:
            (self.folder / "a/b/README.md").write_text(f"---\n{yaml.safe_dump(card)}---\n")

    def repository(self, path: str, revision: str, kind: str = "dataset") -> fetch.Repository:
        files = [file for file in (self.folder / path).rglob("*") if file.is_file()]
        sizes = {file.relative_to(self.folder / path).as_posix(): file.stat().st_size for file in files}
        return fetch.Repository(kind, path, revision, "0" * 40, sizes)

    def download(self, repo: fetch.Repository, name: str) -> Path:
        return self.folder / repo.path / name


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    made = Shelf(tmp_path)
    monkeypatch.setattr(hub, "repository", made.repository)
    monkeypatch.setattr(hub, "download", made.download)
    monkeypatch.setattr(fetch, "download", made.download)
    return made


def record(kind: str, labels: list[str] | None = None, split: str = "train", **more: Any) -> dict[str, Any]:
    columns = {name: name for name in SCHEMAS[kind].names}
    facts = {"path": "a/b", "name": "all", "split": "train", "revision": "main", "columns": columns}
    sample = more.pop("sample", {"train": None, "test": None, "seed": 3})
    return {"kind": kind, "labels": labels, "sample": sample, split: {**facts, **more}}


def pairs(labels: list[Any]) -> dict[str, list[Any]]:
    numbers = range(len(labels))
    return {"text_a": [f"a{i}" for i in numbers], "text_b": [f"b{i}" for i in numbers], "label": labels}


def pair_features(label: Any) -> Features:
    return Features({"text_a": Value("string"), "text_b": Value("string"), "label": label})


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
def test_labels_become_names_and_rows_without_one_are_dropped(shelf: Shelf, label: Any, values: list[Any]):
    shelf.put(pairs(values), pair_features(label))
    table, origin = hub.read("mnli", record("pair", NLI), "train")
    assert table["label"].to_pylist() == ["contradiction", "entailment", "neutral"]
    assert table["text_a"].to_pylist() == ["a0", "a2", "a3"]
    assert (origin["rows_read"], origin["rows_used"], origin["dropped"]) == (4, 3, {"unlabelled": 1})


def test_names_of_labels_in_the_card_are_used_where_the_file_has_none(shelf: Shelf):
    names = {"class_label": {"names": {"0": "contradiction", "1": "entailment", "2": "neutral"}}}
    info = {"config_name": "all", "features": [{"name": "label", "dtype": names}]}
    shelf.put(pairs([0, 1]), card={"license": "mit", "dataset_info": [{"config_name": "other"}, info]})
    table, origin = hub.read("mnli", record("pair", NLI), "train")
    assert table["label"].to_pylist() == ["contradiction", "entailment"]
    assert origin["license"] == "mit"


@pytest.mark.parametrize(
    ("values", "shown"), [([0, 1, 3], "3 (of no name)"), (["neutral", "neutral", "contradictory"], "'contradictory'")]
)
def test_an_unknown_label_is_named_with_its_place(shelf: Shelf, values: list[Any], shown: str):
    shelf.put(pairs(values))
    with pytest.raises(InputError) as caught:
        hub.read("mnli", record("pair", NLI), "train")
    message = str(caught.value)
    assert message.startswith("tasks.mnli.train: a/b (all), train: row 2 ") and shown in message and "\n" not in message


def test_a_missing_column_is_named_with_its_key(shelf: Shelf):
    shelf.put(pairs([0]))
    wrong = record("pair", NLI)
    wrong["train"]["columns"]["text_b"] = "hypothesis"
    with pytest.raises(InputError, match=r"tasks\.mnli\.train: columns\.text_b: .*'hypothesis'.*text_a, text_b, label"):
        hub.read("mnli", wrong, "train")


def test_where_takes_one_language_and_samples_stay_parallel(shelf: Shelf):
    n = 40
    rows = pairs([0, 1] * n)
    rows["language"] = ["german"] * n + ["swahili"] * n
    rows["label"][n + 8] = -1
    rows["text_a"] = [f"{i}" for i in range(n)] * 2
    shelf.put(rows)
    codes = {"de": "german", "sw": "swahili"}
    of_task = record("pair", NLI, "test", where={"language": "{language}"}, codes=codes)
    of_task |= {"languages": ["de", "sw"], "sample": {"test": 30, "seed": 7}}
    german, swahili = (hub.read("xnli", of_task, "test", language) for language in ("de", "sw"))
    expected = sorted(np.random.default_rng(7).permutation(n)[:30])
    assert german[0]["text_a"].to_pylist() == [str(i) for i in expected]
    assert 8 in expected  # so Swahili lacks a row that German has, and has one more instead
    common = set(german[0]["text_a"].to_pylist()) & set(swahili[0]["text_a"].to_pylist())
    assert len(common) == 29 and swahili[1]["rows_used"] == 30 and swahili[1]["rows_read"] == n
    with pytest.raises(InputError, match=r"xtreme\.xnli\.test: codes has no language 'fr'; it has de, sw"):
        hub.read("xnli", of_task, "test", "fr")


def test_another_number_of_rows_than_published_is_told_once(
    shelf: Shelf, capsys: pytest.CaptureFixture[str], monkeypatch
):
    monkeypatch.setattr(hub, "_told", set())
    shelf.put(pairs([0, 1]))
    for _ in range(2):
        hub.read("mnli", record("pair", NLI, published=392702), "train")
    assert capsys.readouterr().err == "warning: a/b (all), train: 2 rows, where 392,702 are published\n"


def test_answers_are_put_where_their_text_is(shelf: Shelf):
    def answer(text: list[str], start: list[int]) -> dict[str, list[Any]]:
        return {"text": text, "answer_start": start}

    context = "Anna saw Ben. Ben saw Carl."  # stripped of two blanks, which the stated places still count
    answers = [
        answer(["Ben"], [16]),  # the second Ben stands at 14, the first at 9
        answer(["Ben"], [9]),
        answer(["Dora", "Carl"], [2, 24]),
        answer(["Dora"], [0]),
        answer([], []),
    ]
    n = len(answers)
    rows: dict[str, list[Any]] = {"id": list("pqrst"), "context": [context] * n, "question": ["Who?"] * n}
    shelf.put(rows | {"answers": answers})
    train, origin = hub.read("squad", record("qa"), "train")
    assert train["id"].to_pylist() == ["p", "q", "r", "t"]
    assert train["answers"].to_pylist() == [
        answer(["Ben"], [14]),
        answer(["Ben"], [9]),
        answer(["Carl"], [22]),
        answer([], []),
    ]
    assert origin["dropped"] == {"answer not in context": 1}
    assert (origin["reanchored"], origin["not in context"]) == (2, 2)
    test, origin = hub.read("xquad", record("qa", split="test"), "test")
    assert test["answers"].to_pylist()[2:4] == [answer(["Dora", "Carl"], [-1, 22]), answer(["Dora"], [-1])]
    assert origin["rows_used"] == 5


def test_questions_that_could_not_be_scored_are_refused_with_the_data():
    rows = [{"id": name, "answers": {"text": texts}} for name, texts in (("p", ["x"]), ("q", []), ("p", ["y"]))]
    check_questions(pa.Table.from_pylist(rows[:1]), "qa", "xquad test in de")
    for chosen, fault in ((rows[:2], "'q' has no right answer"), (rows[::2], "'p' stands twice")):
        with pytest.raises(InputError, match=f"xquad test in de: question {fault}"):
            check_questions(pa.Table.from_pylist(chosen), "qa", "xquad test in de")


def test_tags_stay_with_their_tokens_and_empty_sentences_are_dropped(shelf: Shelf):
    features = Features({"tokens": List(Value("string")), "tags": List(ClassLabel(names=["VERB", "NOUN"]))})
    rows: dict[str, list[Any]] = {"tokens": [["dogs", "run"], [], ["go"], ["x"]], "tags": [[1, 0], [], [0], [-1]]}
    shelf.put(rows, features)
    table, origin = hub.read("udpos", record("tagging", ["NOUN", "VERB"]), "train")
    assert table.to_pylist() == [
        {"tokens": ["dogs", "run"], "tags": ["NOUN", "VERB"]},
        {"tokens": ["go"], "tags": ["VERB"]},
    ]
    assert origin["dropped"] == {"no tokens": 1, "unlabelled": 1}
    shelf.put({"tokens": [["a"], ["b", "c"]], "tags": [[0], [0]]})
    with pytest.raises(InputError, match="row 1 has 2 tokens and 1 tags"):
        hub.read("udpos", record("tagging", ["NOUN", "VERB"]), "train")
    shelf.put({"tokens": [["a"], [], ["b", "c"]], "tags": [[0], [], [2, 1]]})
    with pytest.raises(InputError, match=r"row 2 has the label 2 \(of no name\)"):
        hub.read("udpos", record("tagging", ["NOUN", "VERB"]), "train")


def test_a_split_without_a_row_that_fits_is_refused(shelf: Shelf):
    shelf.put(pairs([-1, -1]))
    with pytest.raises(InputError, match=r"tasks\.mnli\.train: none of 2 rows is fit: unlabelled"):
        hub.read("mnli", record("pair", NLI), "train")


def test_line_ends_of_sentences_are_stripped(shelf: Shelf):
    shelf.put({"source": ["Guten Tag. \n", "Ja.\r\n"], "target": ["Good day.\n", "Yes."]})
    table, _ = hub.read("tatoeba", record("retrieval", split="test"), "test", "de")
    assert table.to_pylist() == [
        {"source": "Guten Tag. ", "target": "Good day."},
        {"source": "Ja.", "target": "Yes."},
    ]


def test_pairs_alone_are_corpora_without_distractors(shelf: Shelf):
    shelf.put(
        {
            "source": ["一\n", "二", "一", "三"],
            "target": ["one", "two", "1", " "],  # one was lost
            "source_id": ["z1", "z2", "z1", "z3"],  # one sentence in two pairs
            "target_id": ["e1", "e2", "e3", "e4"],
        }
    )
    of_task = record("mining", [], "test")
    of_task["test"]["columns"] = {name: name for name in ("source", "target", "source_id", "target_id")}
    table, gold, origin = hub.pairs("bucc_goldpairs", of_task | {"sample": {"test": 1, "seed": 0}}, "test", "zh")
    assert table.schema == SCHEMAS["mining"] and origin["rows_read"] == 4
    assert origin["dropped"] == {"sides of pairs that lack a sentence": 2}
    rows = [tuple(row.values()) for row in table.to_pylist()]
    assert rows[:2] == [("source", "z1", "一"), ("source", "z2", "二")]
    assert rows[2:] == [("target", "e1", "one"), ("target", "e2", "two"), ("target", "e3", "1")]
    assert gold == [("z1", "e1"), ("z2", "e2"), ("z1", "e3")]


def test_choices_lie_in_lists_structs_or_columns(shelf: Shelf):
    """HellaSwag, CommonsenseQA and Cosmos QA as the hub has them."""
    wanted = ["a", "b"]
    shelf.put({"ctx_a": ["Anna sits."], "ctx_b": ["She"], "endings": [["reads.", "swims."]], "label": ["1"]})
    of = record(
        "choice", ["0", "1"], columns={"prompt": "ctx_a", "stem": "ctx_b", "choices": "endings", "label": "label"}
    )
    table, _ = hub.read("hellaswag", of, "train")
    assert table.to_pylist() == [{"prompt": "Anna sits.", "choices": ["She reads.", "She swims."], "label": 1}]

    shelf.put({"q": ["Where?"], "choices": [{"label": ["A", "B"], "text": wanted}], "key": ["A"]})
    of = record("choice", ["A", "B"], columns={"prompt": "q", "choices": "choices", "label": "key"})
    assert hub.read("csqa", of, "train")[0].to_pylist() == [{"prompt": "Where?", "choices": wanted, "label": 0}]

    shelf.put({"context": ["C."], "question": ["Q?"], "answer1": ["b"], "answer0": ["a"], "label": [1]})
    columns = {
        "prompt": "context",
        "question": "question",
        "choice0": "answer0",
        "choice1": "answer1",
        "label": "label",
    }
    of = record("choice", ["0", "1"], columns=columns)
    assert hub.read("cosmosqa", of, "train")[0].to_pylist() == [{"prompt": "C. Q?", "choices": wanted, "label": 1}]
    labels = [str(i) for i in range(11)]  # choice10 is the last
    answers: dict[str, list[Any]] = {f"answer{i}": [label] for i, label in enumerate(labels)}
    shelf.put(answers | {"p": ["Q?"], "label": [10]})
    columns = {"prompt": "p", "label": "label"} | {f"choice{i}": f"answer{i}" for i in range(11)}
    table, _ = hub.read("own", record("choice", labels, columns=columns), "train")
    assert table.to_pylist() == [{"prompt": "Q?", "choices": labels, "label": 10}]
    shelf.put({"q": ["Where?"], "choices": [["a", "b", "c"]], "key": ["A"]})
    with pytest.raises(InputError, match="row 0 has the choices"):
        hub.read(
            "csqa", record("choice", ["A", "B"], columns={"prompt": "q", "choices": "choices", "label": "key"}), "train"
        )


def test_several_places_are_one_split_and_parts_do_not_overlap(shelf: Shelf):
    shelf.put(pairs([0, 1, -1, 2]))
    place = record("pair", NLI)["train"]
    many = record("pair", NLI) | {"train": [place, {**place, "split": "train[1:]"}]}
    table, origin = hub.read("anli_plus", many, "train")
    assert table["text_a"].to_pylist() == ["a0", "a1", "a3", "a1", "a3"]
    assert [part["rows_read"] for part in origin["parts"]] == [4, 3] and origin["rows_used"] == 5
    held_out = hub.read("tydiqa", record("pair", NLI) | {"train": {**place, "split": "train[:1]"}}, "train")[0]
    assert held_out["text_a"].to_pylist() == ["a0"]
    with pytest.raises(InputError, match=r"split 'train\[x\]' is neither"):
        hub.read("x", record("pair", NLI) | {"train": {**place, "split": "train[x]"}}, "train")


def test_a_value_with_a_star_is_the_beginning_of_one(shelf: Shelf):
    rows = pairs([0, 1, 2]) | {"key": ["english-1", "engl", "german-english-"]}
    shelf.put(rows)
    of = record("pair", NLI, "test", where={"key": "{language}-*"}, codes={"en": "english"}, published={"en": 9})
    table, origin = hub.read("tydiqa", of | {"languages": ["en"]}, "test", "en")
    assert table["text_a"].to_pylist() == ["a0"] and origin["rows_published"] == 9


def test_split_files_follow_the_card_else_the_layout_of_the_hubs_conversions():
    card = {
        "configs": [
            {"config_name": "mnli", "data_files": [{"split": "train", "path": ["mnli/train-*"]}]},
            {"config_name": "qqp", "data_files": [{"split": "train", "path": "qqp/train.csv"}]},
        ]
    }
    shards = ["mnli/train-00000-of-00002.parquet", "mnli/train-00001-of-00002.parquet"]
    files = [shards[1], "README.md", "qqp/train.csv", shards[0], "mnli/test-00000-of-00001.parquet"]
    assert split_files("g/lue", files, card, "mnli", "train") == shards
    with pytest.raises(InputError, match=r"g/lue has no config 'mnl' \(name\); it has mnli, qqp"):
        split_files("g/lue", files, card, "mnl", "train")
    with pytest.raises(InputError, match=r"g/lue \(mnli\) has no split 'dev'; it has train"):
        split_files("g/lue", files, card, "mnli", "dev")
    with pytest.raises(InputError, match=r"g/lue, qqp/train\.csv is not parquet"):
        split_files("g/lue", files, card, "qqp", "train")
    converted = ["default/test/0000.parquet", "default/train/0000.parquet"]
    assert split_files("c/qa", converted, {}, "default", "train") == converted[1:]


def test_words_lose_the_characters_that_a_record_names(shelf: Shelf):
    shelf.put({"tokens": [["می\u200cخواهم", "học sinh"], None, ["x"]], "tags": [["A", "B"], None, ["B"]]})
    of_task = record("tagging", ["A", "B"])
    plain, _ = hub.read("udpos", of_task, "train")
    table, _ = hub.read("udpos", of_task | {"drop_characters": "\u200c "}, "train")
    assert plain["tokens"].to_pylist() == [["می\u200cخواهم", "học sinh"], ["x"]]
    assert table["tokens"].to_pylist() == [["میخواهم", "họcsinh"], ["x"]]
    assert table["tags"].to_pylist() == plain["tags"].to_pylist() and table.schema == plain.schema


def test_rows_are_taken_of_more_parts_than_one_column_can_hold():
    """pyarrow joins a column before it takes rows of it, and no text column can hold more than 2 GB."""
    parts = [
        Converted(pa.table({"text": pa.array(texts, pa.string())}))
        for texts in (["a", "b", "c"], [], ["d"], ["e", "f"])
    ]
    joined = join(parts)
    taken = []
    for rows in ([0, 2, 3, 5], [4], [], [0, 1, 2, 3, 4, 5]):
        table = hub.take(parts, np.array(rows, np.int64))
        assert table["text"].to_pylist() == joined.table["text"].take(pa.array(rows, pa.int64())).to_pylist()
        taken.append(table["text"].num_chunks)
    assert max(taken) > 1  # never joined


def test_of_a_long_text_its_beginning_is_kept(shelf: Shelf):
    shelf.put({"text": ["ab" * LONGEST, "short", " "]})
    table, origin = hub.read("mlm", record("text", []), "train")
    assert [len(text) for text in table["text"].to_pylist()] == [LONGEST, 5]
    assert origin["dropped"] == {"no text": 1}
