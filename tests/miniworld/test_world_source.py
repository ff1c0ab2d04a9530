"""The tables of the generated world: schemas, sizes, splits, seeds, and parallel test sets."""

import hashlib
from collections import Counter

import pyarrow as pa
import pytest

from miniworld.generated import KINDS, LANGUAGES, WORLD, names_of, read_corpora, read_rows
from stiltwalk.miniworld.generate.source import MULTILINGUAL_TASKS, TASKS, read, read_pairs
from stiltwalk.tasks.base_data.kind_rows import load_rows
from stiltwalk.utils.errors import InputError


def digest(table: pa.Table) -> str:
    return hashlib.sha256(repr(table.to_pylist()).encode()).hexdigest()


def test_these_tests_cover_all_tasks() -> None:
    assert set(KINDS) == set(TASKS)


@pytest.mark.parametrize("task", KINDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_task_has_its_schema_and_size_in_every_language(task: str, language: str) -> None:
    table = read_rows(task, language=language, size=9)
    assert table.schema == load_rows(KINDS[task]).schema
    assert len(table) == 9
    assert all(value is not None for column in table.columns for value in column.to_pylist())


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_pairs_are_parallel_to_english(language: str) -> None:
    for task in ("xnli", "pawsx"):
        english, other = read_rows(task), read_rows(task, language=language)
        assert english["label"] == other["label"]
        assert english["text_a"] != other["text_a"]


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_questions_are_parallel_to_english(language: str) -> None:
    for task in ("xquad", "mlqa", "tydiqa"):
        english, other = read_rows(task).to_pylist(), read_rows(task, language=language).to_pylist()
        assert [row["id"] for row in english] == [row["id"] for row in other]
        assert len({row["id"] for row in other}) == len(other)
        # The answers are in sentences with the same number: all languages end a sentence with a full stop.
        for pair in zip(english, other, strict=True):
            places = [row["context"][: row["answers"]["answer_start"][0]].count(".") for row in pair]
            assert places[0] == places[1]


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_tagged_sentences_are_parallel_to_english(language: str) -> None:
    english, other = (read_rows("udpos", language=code)["tags"].to_pylist() for code in ("en", language))
    has_articles = WORLD["languages"][language]["article"] != "none"
    for pair in zip(english, other, strict=True):
        counts = [Counter(tag for tag in tags if has_articles or tag != "DET") for tags in pair]
        assert counts[0] == counts[1]
    names = [
        [Counter(names_of(row)) for row in read_rows("panx", language=code).to_pylist()] for code in ("en", language)
    ]
    assert names[0] == names[1]


@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_are_balanced(split: str) -> None:
    for task, labels in (("mnli", 3), ("anli_plus", 3), ("pawsx", 2), ("qqp", 2)):
        assert list(Counter(read_rows(task, split)["label"].to_pylist()).values()) == [30 // labels] * labels
    for task, choices in (("hellaswag", 4), ("cosmosqa", 4), ("commonsenseqa", 5)):
        counts = Counter(read_rows(task, split, size=60)["label"].to_pylist())
        assert counts == dict.fromkeys(range(choices), 60 // choices)


def test_no_premise_passage_or_sentence_is_in_two_splits() -> None:
    columns = {"pair": "text_a", "qa": "context", "tagging": "tokens", "choice": "prompt", "mlm": "text"}
    for task, column in ((task, columns[kind]) for task, kind in KINDS.items() if kind in columns):
        train, test = (
            set(map(str, read_rows(task, split, size=80)[column].to_pylist())) for split in ("train", "test")
        )
        assert not train & test, task
    corpora = [read_corpora("qaa", split, 100)[0] for split in ("validation", "test")]
    for side in ("source", "target"):
        assert not set(corpora[0][side].values()) & set(corpora[1][side].values())
    pairs = [
        {(row["text_a"], row["text_b"]) for row in read_rows(task, split, size=300).to_pylist()}
        for task, split in (("mnli", "train"), ("xnli", "test"))
    ]
    assert not pairs[0] & pairs[1]


def test_rows_depend_only_on_seeds_task_split_and_language() -> None:
    tasks = [task for task in KINDS if task not in MULTILINGUAL_TASKS]
    before = {task: digest(read_rows(task, language="qab")) for task in tasks}
    larger_world = {**WORLD, "languages": {"qzz": WORLD["languages"]["qac"], **WORLD["languages"]}}
    for task in reversed(tasks):
        assert digest(read_rows(task, language="qab", world=larger_world)) == before[task], task
    mlm = digest(read_rows("mlm"))
    assert mlm == digest(read_rows("mlm", language="qab")) != digest(read_rows("mlm", world=larger_world))
    assert read_corpora("qab") == read_corpora("qab")
    assert digest(read_rows("xnli", world={**WORLD, "seed": 2})) != digest(read_rows("xnli"))
    xnli, mnli, anli = (digest(read_rows(task, "train")) for task in ("xnli", "mnli", "anli_plus"))
    assert xnli != mnli != anli


def test_errors_name_the_task_language_or_setting() -> None:
    record = {"kind": "mining", "sample": {"test": 3, "seed": 0}, "world": WORLD}
    with pytest.raises(InputError, match="no task 'bucc2018'; choose one of mnli, "):
        read("bucc2018", record, "test", "qaa")
    with pytest.raises(InputError, match="no sentence pairs for 'mnli'; choose one of bucc2018, bucc_goldpairs"):
        read_pairs("mnli", record, "test", "qaa")
    with pytest.raises(InputError, match="'bucc2018' cannot pair English with itself; choose another language"):
        read_corpora("en")
    for size in (None, 0):
        with pytest.raises(
            InputError, match=rf"sample\.test of task 'bucc2018' is {size}; set it to a positive number"
        ):
            read_pairs("bucc2018", {**record, "sample": {"test": size, "seed": 0}}, "test", "qaa")
    with pytest.raises(InputError, match=r"world\.languages has no 'qzz'; add it there or use one of en, qaa, "):
        read_rows("xnli", language="qzz")
    for key, value, message in (
        ("order", "SVX", r"languages\.qaa\.order is 'SVX'; set it to one of SVO, "),
        ("wordorder", "SVO", r"languages\.qaa has the unknown key 'wordorder'; use only order, "),
    ):
        broken_world = {**WORLD, "languages": {"qaa": {**WORLD["languages"]["qaa"], key: value}}}
        with pytest.raises(InputError, match=message):
            read_rows("xnli", language="qaa", world=broken_world)
