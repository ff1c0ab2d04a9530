"""The mini multilingual world: data sets in the schemas of the real ones, generated from a seed without any download.

A small lexicon, one grammar and several languages at a graded distance from English; the idea is that of the synthetic
languages of Dufter and Schütze (2020, arXiv 2005.00396) and K et al. (2020, arXiv 1912.07840). Every fact can be said
in every language, so that test sets are parallel across languages wherever XTREME's are.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from stiltwalk.miniworld import lexicon
from stiltwalk.miniworld.categories import categorise, draw_parsed
from stiltwalk.miniworld.choices import Choice, draw_answers, draw_consequence, draw_sensible
from stiltwalk.miniworld.corpus import draw_document, read_languages
from stiltwalk.miniworld.entities import draw_named, tag_names
from stiltwalk.miniworld.facts import Fact, draw_fact, generator, split_of
from stiltwalk.miniworld.inference import LABELS, draw_pair, near_facts
from stiltwalk.miniworld.language import Language, Plan, Token, read_language, say, speak, write
from stiltwalk.miniworld.mining import DISTRACTORS, draw_sides
from stiltwalk.miniworld.paraphrase import draw_questions, draw_statements
from stiltwalk.miniworld.reading import draw_passage, draw_unanswered
from stiltwalk.miniworld.tagging import draw_sentence
from stiltwalk.tasks.tables import schema
from stiltwalk.utils.errors import InputError

Row = dict[str, Any]
Key = tuple[Any, ...]


def read(task: str, record: dict[str, Any], split: str, language: str = "en") -> tuple[pa.Table, dict[str, Any]]:
    """Generate a split of a task in a language.

    Returns a table with all columns of the record's kind, `sample.<split>` rows long, and its origin. The same seeds
    give the same bytes, whatever other tasks and languages there are. No premise, passage or tagged sentence of one
    split is in another. Raises InputError if the world has no such task or language, or if no number of rows is given.
    """
    if task not in TASKS:
        raise InputError(f"the generated world has no task '{task}'; it has {', '.join(TASKS)}")
    world, size = record["world"], _size(task, record, split)
    key = (world["seed"], record["sample"]["seed"], task, split)
    languages = read_languages(world) if task in POLYGLOT else [read_language(world, language)]
    rows = TASKS[task](key, split, size, *languages)
    table = pa.Table.from_pylist(list(rows), schema=schema(record["kind"]))
    return table, _origin(task, record, split, " ".join(language.code for language in languages))


def pairs(
    task: str, record: dict[str, Any], split: str, language: str
) -> tuple[pa.Table, list[tuple[str, str]], dict[str, Any]]:
    """Generate sentences in a language and English ones, the translations among them apart.

    Returns a table of kind `mining`, in which `sample.<split>` sentences of each side have a translation on the other
    and four times as many (in bucc_goldpairs none) have not; the pairs of ids (source, target) in the order of the
    first; and the origin.
    """
    if task not in DISTRACTED:
        raise InputError(f"the generated world has no pairs for task '{task}'; it has them for {', '.join(DISTRACTED)}")
    world, size = record["world"], _size(task, record, split)
    english, other = read_language(world, "en"), read_language(world, language)
    if english == other:
        raise InputError(f"{task} pairs English with another language, not with itself")
    # As in XTREME each language has sentences of its own, so its code is part of the key.
    rng = generator(world["seed"], record["sample"]["seed"], task, split, language)
    source, target, gold = draw_sides(rng, split, size, (other, english), DISTRACTED[task])
    rows = [
        {"side": side, "id": name, "text": text}
        for side, texts in (("source", source), ("target", target))
        for name, text in texts.items()
    ]
    table = pa.Table.from_pylist(rows, schema=schema(record["kind"]))
    return table, gold, _origin(task, record, split, language)


def _size(task: str, record: dict[str, Any], split: str) -> int:
    size = record["sample"][split]
    if not isinstance(size, int) or size < 1:
        raise InputError(f"sample.{split} of {task} is {size}; a generated task needs a number of rows")
    return size


def _origin(task: str, record: dict[str, Any], split: str, language: str) -> dict[str, Any]:
    return {
        "source": "world",
        "task": task,
        "split": split,
        "language": language,
        "seed": record["world"]["seed"],
        "rows": record["sample"][split],
    }


def _pairs(key: Key, split: str, size: int, language: Language) -> Iterator[Row]:
    rng = generator(*key)
    for label in _balanced(rng, LABELS, size):
        plans = [[fact, lexicon.STOP] for fact in _of_split(split, partial(draw_pair, rng, label))]
        yield _pair(plans, label, language)


def _translated_pairs(key: Key, split: str, size: int, *languages: Language) -> Iterator[Row]:
    """Pairs in every language but English, in turn."""
    others = languages[1:]
    for number, language in enumerate(others):
        yield from _pairs((*key, language.code), split, len(range(number, size, len(others))), language)


def _statements(key: Key, split: str, size: int, language: Language) -> Iterator[Row]:
    rng = generator(*key)
    for label in _balanced(rng, ("0", "1"), size):
        _, *facts = _of_split(split, partial(draw_statements, rng, label == "1"))
        yield _pair([[fact, lexicon.STOP] for fact in facts], label, language)


def _questions(key: Key, split: str, size: int, language: Language) -> Iterator[Row]:
    rng = generator(*key)
    for label in _balanced(rng, ("not_duplicate", "duplicate"), size):
        _, *questions = _of_split(split, partial(draw_questions, rng, label == "duplicate"))
        yield _pair([[question, "?.PUNCT"] for question in questions], label, language)


def _pair(plans: list[Plan], label: str, language: Language) -> Row:
    one, other = (write(say(plan, language))[0] for plan in plans)
    return {"text_a": one, "text_b": other, "label": label}


def _passages(
    key: Key, split: str, size: int, language: Language, facts: int = 3, unanswered: bool = False
) -> Iterator[Row]:
    """Questions on passages of so many facts, a third of them without an answer there if wanted."""
    rng = generator(*key)
    draws = [draw_passage, draw_passage, draw_unanswered] if unanswered else [draw_passage]
    order = rng.permutation(size) if unanswered else range(size)
    for number, turn in enumerate(order):
        passage, question, asked, place = _of_split(split, partial(draws[turn % len(draws)], rng, facts))
        tokens: list[Token] = []
        for i, fact in enumerate(passage):
            parts = speak(fact, language)
            if i == place:
                before = parts[: [role for role, _ in parts].index(asked)]
                first = len(tokens) + sum(len(part) for _, part in before)
                last = first + len(dict(parts)[asked]) - 1
            tokens += say([fact, lexicon.STOP], language)
        context, spans = write(tokens)
        answers = [] if place is None else [(spans[first][0], spans[last][1])]
        yield {
            "id": f"{key[2]}-{split}-{number:05d}",
            "context": context,
            "question": write(say([(question, asked), "?.PUNCT"], language))[0],
            "answers": {
                "text": [context[start:end] for start, end in answers],
                "answer_start": [start for start, _ in answers],
            },
        }


def _choices(
    key: Key, split: str, size: int, language: Language, draw: Callable[[np.random.Generator], Choice], number: int
) -> Iterator[Row]:
    """The right one of so many answers is as often in each place."""
    rng = generator(*key)
    for label in _balanced(rng, range(number), size):
        _, prompt, (right, *wrong) = _of_split(split, partial(draw, rng))
        answers = [*wrong[:label], right, *wrong[label:]]
        yield {
            "prompt": " ".join(write(say(plan, language))[0] for plan in prompt),
            "choices": [write(_answer(answer, language))[0] for answer in answers],
            "label": label,
        }


def _answer(answer: Plan | tuple[Fact, str], language: Language) -> list[Token]:
    if isinstance(answer, list):
        return say(answer, language)
    fact, role = answer
    return dict(speak(fact, language))[role]


def _tagged(
    key: Key,
    split: str,
    size: int,
    language: Language,
    draw: Callable[[np.random.Generator], Plan] = draw_sentence,
    tag: Callable[[Plan, Language], list[Token]] = say,
) -> Iterator[Row]:
    rng = generator(*key)
    for _ in range(size):
        tokens = tag(_of_split(split, lambda: (draw(rng),))[0], language)
        yield {"tokens": [form for form, _ in tokens], "tags": [tag for _, tag in tokens]}


def _translations(key: Key, split: str, size: int, language: Language) -> Iterator[Row]:
    # As in XTREME each language has sentences of its own, so its code is part of the key.
    rng = generator(*key, language.code)
    english = read_language({"seed": key[0], "languages": {}}, "en")
    seen: set[str] = set()
    while len(seen) < size:
        for fact in near_facts(draw_fact(rng), rng):
            target = write(say([fact, lexicon.STOP], english))[0]
            if target not in seen and len(seen) < size:
                seen.add(target)
                yield {"source": write(say([fact, lexicon.STOP], language))[0], "target": target}


def _texts(key: Key, split: str, size: int, *languages: Language) -> Iterator[Row]:
    """Documents, each in one of the languages, as often as the encoder sees it; what is said twice alike, once."""
    rng = generator(*key)
    shares = np.array([language.resource for language in languages])
    for _ in range(size):
        document = _of_split(split, lambda: (draw_document(rng),))[0]
        language = languages[int(rng.choice(len(languages), p=shares / shares.sum()))]
        sentences = [write(say(plan, language))[0] for text in document for plan in text]
        yield {"text": " ".join(dict.fromkeys(sentences))}


def _word_pairs(key: Key, split: str, size: int, *languages: Language) -> Iterator[Row]:
    """English words with their translations, at most as many as there are; words alike in both are left out."""
    english, *others = languages
    concepts = [concept for concept in english.forms if split_of(concept) == split]
    found = [(english.forms[concept], language.forms[concept]) for concept in concepts for language in others]
    different = [pair for pair in dict.fromkeys(found) if pair[0] != pair[1]]
    for i in np.sort(generator(*key).permutation(len(different))[:size]):
        yield {"source": different[i][1], "target": different[i][0]}


def _balanced(rng: np.random.Generator, labels: Sequence[Any], size: int) -> Iterator[Any]:
    """Labels in a random order, each as often as the others."""
    for i in rng.permutation([i % len(labels) for i in range(size)]):
        yield labels[int(i)]


def _of_split(split: str, draw: Callable[[], Any]) -> Any:
    """Draw until the first thing drawn belongs to the split."""
    while True:
        drawn = draw()
        if split_of(drawn[0]) == split:
            return drawn


# Generators of rows: they take the key, the split, the number of rows and a language, or those in POLYGLOT all of them.
TASKS: dict[str, Callable[..., Iterator[Row]]] = {
    "mnli": _pairs,
    "anli_plus": _pairs,
    "mnli_translated": _translated_pairs,
    "qqp": _questions,
    "squad": _passages,
    "squad2": partial(_passages, unanswered=True),
    "hellaswag": partial(_choices, draw=draw_consequence, number=4),
    "cosmosqa": partial(_choices, draw=draw_answers, number=4),
    "commonsenseqa": partial(_choices, draw=draw_sensible, number=5),
    "ccg": partial(_tagged, draw=draw_parsed, tag=categorise),
    "mlm": _texts,
    "tli": _word_pairs,
    "null": _pairs,
    "xnli": _pairs,
    "pawsx": _statements,
    "udpos": _tagged,
    "panx": partial(_tagged, draw=draw_named, tag=tag_names),
    "xquad": _passages,
    "mlqa": partial(_passages, facts=4),
    "tydiqa": partial(_passages, facts=5),
    "tatoeba": _translations,
}
POLYGLOT = ("mlm", "tli", "mnli_translated")
DISTRACTED = {"bucc2018": DISTRACTORS, "bucc_goldpairs": 0}

__all__ = ["TASKS", "pairs", "read"]
