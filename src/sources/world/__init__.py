"""The mini multilingual world: data sets in the schemas of the real ones, generated from a seed without any download.

A small lexicon, one grammar and several languages at a graded distance from English; the idea is that of the synthetic
languages of Dufter and Schütze (2020, arXiv 2005.00396) and K et al. (2020, arXiv 1912.07840). Every fact can be said
in every language, so that test sets are parallel across languages wherever XTREME's are.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa

from common.errors import InputError
from common.tables import schema
from sources.world.facts import draw_fact, generator, split_of
from sources.world.inference import LABELS, draw_pair, near_facts
from sources.world.language import Language, Token, read_language, say, speak, write
from sources.world.reading import draw_passage
from sources.world.tagging import draw_sentence

Row = dict[str, Any]
STOP = "..PUNCT"


def read(task: str, record: dict[str, Any], split: str, language: str = "en") -> tuple[pa.Table, dict[str, Any]]:
    """Generate a split of a task in a language.

    Returns a table with all columns of the record's kind, `sample.<split>` rows long, and its origin. The same seeds
    give the same bytes, whatever other tasks and languages there are. No premise, passage or tagged sentence of one
    split is in another. Raises InputError if the world has no such task or language, or if no number of rows is given.
    """
    if task not in TASKS:
        raise InputError(f"the generated world has no task '{task}'; it has {', '.join(TASKS)}")
    world, size = record["world"], record["sample"][split]
    if not isinstance(size, int) or size < 1:
        raise InputError(f"sample.{split} of {task} is {size}; a generated task needs a number of rows")
    key = (world["seed"], record["sample"]["seed"], task, split)
    rows = TASKS[task](key, split, size, read_language(world, language))
    table = pa.Table.from_pylist(list(rows), schema=schema(record["kind"]))
    return table, {
        "source": "world",
        "task": task,
        "split": split,
        "language": language,
        "seed": world["seed"],
        "rows": size,
    }


def _pairs(key: tuple[Any, ...], split: str, size: int, language: Language) -> Iterator[Row]:
    rng = generator(*key)
    labels = rng.permutation([LABELS[i % len(LABELS)] for i in range(size)])
    for label in labels:
        premise, hypothesis = _of_split(split, partial(draw_pair, rng, str(label)))
        texts = [write(say([fact, STOP], language))[0] for fact in (premise, hypothesis)]
        yield {"text_a": texts[0], "text_b": texts[1], "label": str(label)}


def _passages(key: tuple[Any, ...], split: str, size: int, language: Language) -> Iterator[Row]:
    rng = generator(*key)
    for number in range(size):
        facts, question, asked, place = _of_split(split, lambda: draw_passage(rng))
        tokens: list[Token] = []
        for i, fact in enumerate(facts):
            parts = speak(fact, language)
            if i == place:
                before = parts[: [role for role, _ in parts].index(asked)]
                first = len(tokens) + sum(len(part) for _, part in before)
                last = first + len(dict(parts)[asked]) - 1
            tokens += say([fact, STOP], language)
        context, spans = write(tokens)
        start, end = spans[first][0], spans[last][1]
        yield {
            "id": f"{key[2]}-{split}-{number:05d}",
            "context": context,
            "question": write(say([(question, asked), "?.PUNCT"], language))[0],
            "answers": {"text": [context[start:end]], "answer_start": [start]},
        }


def _tagged(key: tuple[Any, ...], split: str, size: int, language: Language) -> Iterator[Row]:
    rng = generator(*key)
    for _ in range(size):
        tokens = say(_of_split(split, lambda: (draw_sentence(rng),))[0], language)
        yield {"tokens": [form for form, _ in tokens], "tags": [tag for _, tag in tokens]}


def _translations(key: tuple[Any, ...], split: str, size: int, language: Language) -> Iterator[Row]:
    # As in XTREME each language has sentences of its own, so its code is part of the key.
    rng = generator(*key, language.code)
    english = read_language({"seed": key[0], "languages": {}}, "en")
    seen: set[str] = set()
    while len(seen) < size:
        for fact in near_facts(draw_fact(rng), rng):
            target = write(say([fact, STOP], english))[0]
            if target not in seen and len(seen) < size:
                seen.add(target)
                yield {"source": write(say([fact, STOP], language))[0], "target": target}


def _of_split(split: str, draw: Callable[[], Any]) -> Any:
    """Draw until the first thing drawn belongs to the split."""
    while True:
        drawn = draw()
        if split_of(drawn[0]) == split:
            return drawn


TASKS: dict[str, Callable[[tuple[Any, ...], str, int, Language], Iterator[Row]]] = {
    "mnli": _pairs,
    "squad": _passages,
    "xnli": _pairs,
    "udpos": _tagged,
    "xquad": _passages,
    "tatoeba": _translations,
}

__all__ = ["TASKS", "read"]
