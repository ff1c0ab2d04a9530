"""The generated world as a source of data: the rows of every task that it has, in the schemas of the real data sets."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa

from stiltwalk.miniworld.generate.categories import draw_ccg_sentence, tag_categories
from stiltwalk.miniworld.generate.choices import draw_answers, draw_consequence, draw_plausible_answers
from stiltwalk.miniworld.generate.entities import draw_sentence_with_names, tag_names
from stiltwalk.miniworld.generate.language import Language, read_language, read_languages
from stiltwalk.miniworld.generate.mining import draw_corpora
from stiltwalk.miniworld.generate.rows import (
    Row,
    Sample,
    choice_rows,
    entailment_rows,
    passage_rows,
    question_rows,
    statement_rows,
    tagged_rows,
    text_rows,
    translated_entailment_rows,
    translation_rows,
    word_rows,
)
from stiltwalk.tasks.base_data.kind_rows import load_rows
from stiltwalk.utils.errors import InputError

MONOLINGUAL_TASKS: dict[str, Callable[[Sample, Language], Iterator[Row]]] = {
    "mnli": entailment_rows,
    "anli_plus": entailment_rows,
    "null": entailment_rows,
    "qqp": question_rows,
    "squad": passage_rows,
    "squad2": partial(passage_rows, unanswerable=True),
    "hellaswag": partial(choice_rows, draw=draw_consequence, choices=4),
    "cosmosqa": partial(choice_rows, draw=draw_answers, choices=4),
    "commonsenseqa": partial(choice_rows, draw=draw_plausible_answers, choices=5),
    "ccg": partial(tagged_rows, draw=draw_ccg_sentence, tag=tag_categories),
    "xnli": entailment_rows,
    "pawsx": statement_rows,
    "udpos": tagged_rows,
    "panx": partial(tagged_rows, draw=draw_sentence_with_names, tag=tag_names),
    "xquad": passage_rows,
    "mlqa": partial(passage_rows, facts=4),
    "tydiqa": partial(passage_rows, facts=5),
    "tatoeba": translation_rows,
}
MULTILINGUAL_TASKS: dict[str, Callable[[Sample, list[Language]], Iterator[Row]]] = {  # all languages in one table
    "mnli_translated": translated_entailment_rows,
    "mlm": text_rows,
    "tli": word_rows,
}
TASKS = (*MONOLINGUAL_TASKS, *MULTILINGUAL_TASKS)
DISTRACTORS = {"bucc2018": 4, "bucc_goldpairs": 0}  # untranslated sentences for each pair, in each language


def target_languages(record: dict[str, Any]) -> list[str]:
    """Return the languages in which a target is tested: the world's, and English where it is not the other side."""
    english = [] if record["kind"] in ("retrieval", "mining") else ["en"]
    return [*english, *record["world"]["languages"]]


def read(task: str, record: dict[str, Any], split: str, language: str = "en") -> tuple[pa.Table, dict[str, Any]]:
    """Generate a split of a task in a language.

    record: the task's configuration (`kind`, `sample` and `world`).
    language: a code; tasks in MULTILINGUAL_TASKS ignore it and have rows in all languages.
    Returns a table with all columns of the kind, and its origin. The table has `sample.<split>` rows, or fewer if the
    world has no more word pairs. The same seeds give the same bytes, whichever other tasks and languages there are. No
    premise, passage or tagged sentence is in two splits.
    Raises InputError if the world has no such task or language, or if the number of rows is missing.
    """
    if task not in TASKS:
        raise InputError(f"the generated world has no task '{task}'; choose one of {', '.join(TASKS)}")
    world, sample = record["world"], _read_sample(task, record, split)
    if task in MULTILINGUAL_TASKS:
        languages = read_languages(world)
        rows = MULTILINGUAL_TASKS[task](sample, languages)
    else:
        languages = [read_language(world, language)]
        rows = MONOLINGUAL_TASKS[task](sample, languages[0])
    table = pa.Table.from_pylist(list(rows), schema=load_rows(record["kind"]).schema)
    return table, _origin(sample, " ".join(language.code for language in languages))


def read_pairs(
    task: str, record: dict[str, Any], split: str, language: str
) -> tuple[pa.Table, list[tuple[str, str]], dict[str, Any]]:
    """Generate sentences in a language and in English, some of which are translations of each other.

    record: the task's configuration (`kind`, `sample` and `world`).
    Returns a table of kind `mining`, the pairs of ids (source, target) that are translations, sorted by source, and the
    origin. There are `sample.<split>` pairs, and for each of them DISTRACTORS[task] unpaired sentences on each side.
    Raises InputError if the world has no such task or language, or if the number of rows is missing.
    """
    if task not in DISTRACTORS:
        raise InputError(
            f"the generated world has no sentence pairs for '{task}'; choose one of {', '.join(DISTRACTORS)}"
        )
    world, sample = record["world"], _read_sample(task, record, split)
    if language == "en":
        raise InputError(f"task '{task}' cannot pair English with itself; choose another language")
    languages = (read_language(world, language), read_language(world, "en"))
    # The code is part of the key, since every language has sentences of its own as in BUCC.
    corpora = draw_corpora(sample.generator(language), split, sample.size, languages, DISTRACTORS[task])
    rows = [
        {"side": side, "id": sentence_id, "text": text}
        for side, sentences in (("source", corpora.source), ("target", corpora.target))
        for sentence_id, text in sentences.items()
    ]
    table = pa.Table.from_pylist(rows, schema=load_rows(record["kind"]).schema)
    return table, corpora.gold, _origin(sample, language)


def _read_sample(task: str, record: dict[str, Any], split: str) -> Sample:
    size = record["sample"][split]
    if not isinstance(size, int) or size < 1:
        raise InputError(f"sample.{split} of task '{task}' is {size}; set it to a positive number of rows")
    return Sample(record["world"]["seed"], record["sample"]["seed"], task, split, size)


def _origin(sample: Sample, language: str) -> dict[str, Any]:
    return {
        "source": "world",
        "task": sample.task,
        "split": sample.split,
        "language": language,
        "seed": sample.world_seed,
        "rows": sample.size,
    }
