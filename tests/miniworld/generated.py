"""Rows of the generated world for its tests, and simple views of their texts."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from stiltwalk.miniworld.generate import lexicon
from stiltwalk.miniworld.generate.facts import Fact
from stiltwalk.miniworld.generate.source import read, read_pairs
from stiltwalk.tasks.base_data.kind_rows import load_rows

TASKS_BY_KIND = {
    "pair": ["mnli", "anli_plus", "mnli_translated", "null", "qqp", "xnli", "pawsx"],
    "tagging": ["ccg", "udpos", "panx"],
    "qa": ["squad", "squad2", "xquad", "mlqa", "tydiqa"],
    "choice": ["hellaswag", "cosmosqa", "commonsenseqa"],
    "mlm": ["mlm"],
    "lexical": ["tli"],
    "retrieval": ["tatoeba"],
}
KINDS = {task: kind for kind, tasks in TASKS_BY_KIND.items() for task in tasks}
MINI = yaml.safe_load((Path(__file__).parents[2] / "conf/scale/mini.yaml").read_text(encoding="utf-8"))
WORLD: dict[str, Any] = MINI["world"]
LANGUAGES = ["en", *WORLD["languages"]]


def read_rows(
    task: str, split: str = "test", language: str = "en", size: int = 30, world: dict[str, Any] = WORLD
) -> pa.Table:
    """Generate rows of a task, once for all tests of a process."""
    return _read_rows(task, split, language, size, json.dumps(world))


@cache
def _read_rows(task: str, split: str, language: str, size: int, world: str) -> pa.Table:
    sample = {"train": size, "validation": size, "test": size, "seed": 0}
    return read(task, {"kind": KINDS[task], "sample": sample, "world": json.loads(world)}, split, language)[0]


def read_corpora(
    language: str, split: str = "test", size: int = 30
) -> tuple[dict[str, dict[str, str]], list[tuple[str, str]]]:
    """Generate the corpora of bucc2018: returns the sentences of each side by their ids, and the gold pairs."""
    record = {"kind": "mining", "sample": {"validation": size, "test": size, "seed": 0}, "world": WORLD}
    table, gold, origin = read_pairs("bucc2018", record, split, language)
    assert table.schema == load_rows("mining").schema and origin["language"] == language
    sides: dict[str, dict[str, str]] = {"source": {}, "target": {}}
    for row in table.to_pylist():
        assert row["id"] not in sides[row["side"]]
        sides[row["side"]][row["id"]] = row["text"]
    return sides, gold


def content_words(text: str) -> list[str]:
    """Return the words of a text in lower case, without articles and punctuation marks."""
    words = text.lower().translate(str.maketrans("", "", ".,?!")).split()
    return [word for word in words if word not in ("a", "the")]


def is_contained(short: list[str], long: list[str]) -> bool:
    """Whether words occur among others in the same order. A hypernym (animal) counts for each of its hyponyms (dog)."""
    hyponyms = {
        hypernym.split(".")[0]: {hyponym.split(".")[0] for hyponym in nouns}
        for hypernym, nouns in lexicon.HYPONYMS.items()
    }
    rest = iter(long)
    return all(any(word == other or other in hyponyms.get(word, ()) for other in rest) for word in short)


def follows(premise: str, hypothesis: str) -> bool:
    """Whether an English sentence follows from another one: it leaves out words or is more general.

    From a negated sentence, only the same sentence follows.
    """
    # A place becomes one word, so that "in a well" is not mistaken for "well".
    first, second = (
        content_words(re.sub(r" (in|near|behind|at) (?:a |the )?", r" \1-", text)) for text in (premise, hypothesis)
    )
    return first == second if "not" in first + second else is_contained(second, first)


def is_answer(fact: Fact, question: Fact, asked: str) -> bool:
    """Whether a fact answers a question about a part of it."""
    details = {part: value for part, value in vars(question).items() if value and part not in (asked, "auxiliary")}
    return bool(getattr(fact, asked)) and details.items() <= vars(fact).items()


def names_of(row: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the names of a row of panx with their types."""
    names: list[tuple[str, str]] = []
    for token, tag, previous in zip(row["tokens"], row["tags"], ["O", *row["tags"]], strict=False):
        if tag.startswith("B-"):
            names.append((token, tag[2:]))
        elif tag.startswith("I-"):
            assert previous[1:] == tag[1:], row
            names[-1] = (f"{names[-1][0]} {token}", names[-1][1])
        else:
            assert tag == "O"
    return names
