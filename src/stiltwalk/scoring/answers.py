"""Exact match and F1 of answers to questions, as in SQuAD v1.1 (XQuAD, TyDiQA-GoldP) and MLQA.

Both rules normalise gold and predicted text in the same order (lower-case, remove punctuation, remove articles, split
at whitespace) and take the best match among the gold answers. SQuAD's rule knows only English, and XTREME applies it
to every language. In Chinese and Thai, which are written without spaces, its F1 is therefore close to exact match.
MLQA's rule knows the seven languages of MLQA.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

from stiltwalk.scoring.metrics import f1_precision_recall
from stiltwalk.tasks.qa.head.normalisation import ENGLISH_ARTICLES, squad_words
from stiltwalk.utils.errors import InputError

_NO_ARTICLES = re.compile(r"(?!)")  # never matches
# The articles of mlqa_evaluation_v1.py. In Arabic it removes every "ال", even inside a word.
_ARTICLES = {
    "en": ENGLISH_ARTICLES,
    "es": re.compile(r"\b(un|una|unos|unas|el|la|los|las)\b"),
    "hi": _NO_ARTICLES,
    "vi": re.compile(r"\b(của|là|cái|chiếc|những)\b"),
    "de": re.compile(r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    "ar": re.compile("ال"),
    "zh": _NO_ARTICLES,
}
_PRIVATE_USE_CODE = re.compile("q[a-t][a-z]")
_CHINESE_CHARACTER = re.compile(r"([\u4e00-\u9fa5])")


def squad_scores(gold: Sequence[Sequence[str]], predicted: Sequence[str], language: str) -> dict[str, float]:
    """Exact match and F1 of SQuAD v1.1, with English normalisation in every language.

    gold: all gold answers of each question. predicted: one answer per question.
    """
    return _score_answers(gold, predicted, squad_words)


def mlqa_scores(gold: Sequence[Sequence[str]], predicted: Sequence[str], language: str) -> dict[str, float]:
    """Exact match and F1 of MLQA: the language's articles, Unicode punctuation, Chinese split into characters.

    gold: all gold answers of each question. predicted: one answer per question.
    Invented languages (codes qaa to qtz, which ISO 639 reserves for private use) have no articles.
    Raises InputError for any other language that MLQA does not have.
    """
    if language not in _ARTICLES and not _PRIVATE_USE_CODE.fullmatch(language):
        raise InputError(
            f"MLQA has no answer normalisation for language '{language}'; remove it, or use one of "
            f"{', '.join(_ARTICLES)}"
        )
    return _score_answers(gold, predicted, lambda text: _mlqa_words(text, language))


def _mlqa_words(text: str, language: str) -> list[str]:
    text = "".join(character for character in text.lower() if not _is_punctuation(character))
    text = _ARTICLES.get(language, _NO_ARTICLES).sub(" ", text)
    if language == "zh":
        text = _CHINESE_CHARACTER.sub(r" \1 ", text)
    return text.split()


def _is_punctuation(character: str) -> bool:
    # string.punctuation also has symbols such as $ and +, whose Unicode category does not start with P.
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def _score_answers(
    gold: Sequence[Sequence[str]], predicted: Sequence[str], split_words: Callable[[str], list[str]]
) -> dict[str, float]:
    """Average exact match and F1 over the questions. A question counts with its best gold answer."""
    exact_matches, f1_sum = 0, 0.0
    for gold_texts, predicted_text in zip(gold, predicted, strict=True):
        words, gold_answers = split_words(predicted_text), [split_words(text) for text in gold_texts]
        exact_matches += words in gold_answers
        f1_sum += max(_word_f1(gold_words, words) for gold_words in gold_answers)
    return {"exact_match": 100 * exact_matches / len(gold), "f1": 100 * f1_sum / len(gold)}


def _word_f1(gold_words: list[str], words: list[str]) -> float:
    common = (Counter(gold_words) & Counter(words)).total()
    return f1_precision_recall(common, len(words), len(gold_words))[0]
