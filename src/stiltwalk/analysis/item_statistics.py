"""What every test item adds to a score, so that scores can be computed on other samples of items.

Every score of XTREME is 100 * N / D, where N and D are sums over the items of a language:

    accuracy             N: 1 if correct               D: 1
    question answering   N: (exact match + F1) / 2     D: 1
    F1 of tags or pairs  N: 2 * true positives         D: predicted + gold

The last row is 2PR / (P + R), written in counts. An item is a sentence, a sentence pair or a question. In BUCC it is a
sentence of the foreign corpus with all pairs that contain it.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from stiltwalk.scoring.answers import mlqa_scores, squad_scores
from stiltwalk.scoring.files import _read_questions, read_text_lines
from stiltwalk.scoring.metrics import accuracy, chunk_f1, extract_chunks, pair_f1, part_of_speech_scores
from stiltwalk.scoring.tasks import XTREME_TASKS
from stiltwalk.utils.files import read_json

Metrics: TypeAlias = Callable[[Any, Any, str], dict[str, float]]
# Their test sets were translated, so a row is the same item in every language. Question answering needs no entry:
# translations of a question have one id. Some treebanks of UDPOS are parallel too, but its files do not say which.
TRANSLATED = frozenset({"xnli", "pawsx"})
# The generated world draws these sentences once for all languages.
TRANSLATED_IN_WORLD = TRANSLATED | {"udpos", "panx"}


@dataclass(frozen=True)
class ItemStatistics:
    """The items of one language."""

    ids: list[str]
    """Distinct. Two languages of a target have an id in common only if it is the same item."""
    values: np.ndarray
    """(items, prediction files, 2): what an item adds to N and to D."""


def score_sums(sums: np.ndarray) -> np.ndarray:
    """Return scores (0 to 100) from the sums over items, (..., 2) -> (...). A score without any items to find is 0."""
    numerator, denominator = sums[..., 0], sums[..., 1]
    return 100 * np.divide(numerator, denominator, out=np.zeros_like(numerator, float), where=denominator > 0)


def are_rows_translations(target: str, source: str) -> bool:
    """Return whether a row of the test set is the same item in every language.

    source: of the target's data, as in its `data.source` in params.yaml.
    """
    return target in (TRANSLATED_IN_WORLD if source == "world" else TRANSLATED)


def read_item_statistics(
    target: str, language: str, labels: Path, predictions: Sequence[Path], *, translated: bool
) -> ItemStatistics:
    """Read the items of one language from its label file and prediction files of several runs.

    translated: whether rows are translations (see `are_rows_translations`). Where gold is one label a row, only
    languages with the same labels share items, because a hub's copy may lack a row of one language (as PAWS-X's does
    of Korean), after which rows no longer correspond.

    The files must be those of scored experiments: `score_task` has checked that they fit each other. Others raise
    ValueError or KeyError. A label file that cannot be read raises InputError.
    """
    metrics = XTREME_TASKS[target].compute_metrics
    return _READERS[metrics](language, labels, predictions, translated)


def _read_labels(language: str, labels: Path, predictions: Sequence[Path], translated: bool) -> ItemStatistics:
    gold = read_text_lines(labels)
    values = np.zeros((len(gold), len(predictions), 2))
    values[:, :, 1] = np.array([bool(line) for line in gold])[:, None]  # accuracy ignores blank lines
    for run, path in enumerate(predictions):
        pairs = zip(gold, read_text_lines(path), strict=True)
        values[:, run, 0] = [gold_line == line != "" for gold_line, line in pairs]
    prefix = hashlib.md5("\n".join(gold).encode(), usedforsecurity=False).hexdigest() if translated else language
    return ItemStatistics([f"{prefix}:{row}" for row in range(len(gold))], values)


def _read_chunks(language: str, labels: Path, predictions: Sequence[Path], translated: bool) -> ItemStatistics:
    gold = read_text_lines(labels)
    # A chunk never spans two sentences, so the number of its first line's sentence is that of the chunk.
    sentences = np.cumsum([not line for line in gold])
    count = int(sentences[-1]) + 1

    def count_by_sentence(chunks: set[tuple[str, int, int]]) -> np.ndarray:
        return np.bincount(sentences[[first for _, first, _ in chunks]], minlength=count) if chunks else np.zeros(count)

    gold_chunks = extract_chunks(gold)
    gold_counts = count_by_sentence(gold_chunks)
    values = np.zeros((count, len(predictions), 2))
    for run, path in enumerate(predictions):
        chunks = extract_chunks(read_text_lines(path))
        values[:, run, 0] = 2 * count_by_sentence(gold_chunks & chunks)
        values[:, run, 1] = gold_counts + count_by_sentence(chunks)
    # Tags do not show whether sentences correspond, but their number does if one is missing.
    prefix = str(count) if translated else language
    return ItemStatistics([f"{prefix}:{sentence}" for sentence in range(count)], values)


def _read_pairs(language: str, labels: Path, predictions: Sequence[Path], translated: bool) -> ItemStatistics:
    """A foreign sentence that is in no pair adds nothing to N or D and is left out."""
    gold, *predicted = ({tuple(line.split("\t")) for line in read_text_lines(path)} for path in (labels, *predictions))
    ids = sorted({source for pairs in (gold, *predicted) for source, _ in pairs})
    gold_counts = Counter(source for source, _ in gold)
    values = np.zeros((len(ids), len(predictions), 2))
    for run, pairs in enumerate(predicted):
        correct, counts = Counter(source for source, _ in gold & pairs), Counter(source for source, _ in pairs)
        values[:, run] = [(2 * correct[source], counts[source] + gold_counts[source]) for source in ids]
    return ItemStatistics([f"{language}:{source}" for source in ids], values)


def _read_answers(
    metrics: Metrics, language: str, labels: Path, predictions: Sequence[Path], translated: bool
) -> ItemStatistics:
    gold = {question: tuple(texts) for question, texts in _read_questions(labels).items()}
    values = np.ones((len(gold), len(predictions), 2))
    for run, path in enumerate(predictions):
        answers = read_json(path)
        values[:, run, 0] = [_score_answer(metrics, texts, answers[one], language) for one, texts in gold.items()]
    return ItemStatistics(list(gold), values)


@lru_cache(maxsize=2**18)  # many runs give the same answer
def _score_answer(metrics: Metrics, gold: tuple[str, ...], answer: str, language: str) -> float:
    """Return the mean of exact match and F1 of one answer, from 0 to 1."""
    scores = metrics([gold], [answer], language)
    return (scores["exact_match"] + scores["f1"]) / 200


_READERS: dict[Metrics, Callable[[str, Path, Sequence[Path], bool], ItemStatistics]] = {
    accuracy: _read_labels,
    chunk_f1: _read_chunks,
    part_of_speech_scores: _read_chunks,
    pair_f1: _read_pairs,
    squad_scores: partial(_read_answers, squad_scores),
    mlqa_scores: partial(_read_answers, mlqa_scores),
}
