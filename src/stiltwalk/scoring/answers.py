"""Exact match and F1 of answers: SQuAD v1.1 (XQuAD, TyDiQA-GoldP) and MLQA.

Both normalise gold and predicted text in the same order (lower case, no punctuation, no articles, single spaces) and
take the best of the right answers. SQuAD's rule knows English alone and XTREME uses it for every language, so that
for zh and th, written without spaces, F1 is close to exact match. MLQA's knows the seven languages of MLQA.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

from stiltwalk.scoring.metrics import f1_precision_recall
from stiltwalk.utils.errors import InputError

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_NO_ARTICLE = re.compile(r"(?!)")  # matches nowhere
_ARTICLES = {  # of mlqa_evaluation_v1.py; in ar every "ال", inside a word as well
    "en": re.compile(r"\b(a|an|the)\b"),
    "es": re.compile(r"\b(un|una|unos|unas|el|la|los|las)\b"),
    "hi": _NO_ARTICLE,
    "vi": re.compile(r"\b(của|là|cái|chiếc|những)\b"),
    "de": re.compile(r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    "ar": re.compile("ال"),
    "zh": _NO_ARTICLE,
}
_PRIVATE = re.compile("q[a-t][a-z]")
_HAN = re.compile(r"([\u4e00-\u9fa5])")


def squad(gold: Sequence[Sequence[str]], predicted: Sequence[str], language: str) -> dict[str, float]:
    """Exact match and F1 of SQuAD v1.1: English normalisation, whatever the language."""
    return _best_of_answers(gold, predicted, _squad_words)


def mlqa(gold: Sequence[Sequence[str]], predicted: Sequence[str], language: str) -> dict[str, float]:
    """Exact match and F1 of MLQA: articles of the language, Unicode punctuation, zh character by character.

    Invented languages (codes qaa to qtz, which ISO 639 leaves to private use) are read without articles.
    """
    if language not in _ARTICLES and not _PRIVATE.fullmatch(language):
        raise InputError(f"mlqa has no rule for language '{language}'; it scores {', '.join(_ARTICLES)}")
    return _best_of_answers(gold, predicted, lambda text: _mlqa_words(text, language))


def _squad_words(text: str) -> list[str]:
    return _ARTICLES["en"].sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


def _mlqa_words(text: str, language: str) -> list[str]:
    kept = "".join(mark for mark in text.lower() if not _is_punctuation(mark))
    kept = _ARTICLES.get(language, _NO_ARTICLE).sub(" ", kept)
    return (_HAN.sub(r" \1 ", kept) if language == "zh" else kept).split()


def _is_punctuation(mark: str) -> bool:
    # string.punctuation has symbols besides, such as $ and +, whose Unicode category is not P.
    return mark in string.punctuation or unicodedata.category(mark).startswith("P")


def _best_of_answers(
    gold: Sequence[Sequence[str]], predicted: Sequence[str], words: Callable[[str], list[str]]
) -> dict[str, float]:
    exact, f1 = 0, 0.0
    for right, given in zip(gold, predicted, strict=True):
        found, wanted = words(given), [words(text) for text in right]
        exact += found in wanted
        f1 += max(_word_f1(answer, found) for answer in wanted)
    return {"exact_match": 100 * exact / len(gold), "f1": 100 * f1 / len(gold)}


def _word_f1(wanted: list[str], found: list[str]) -> float:
    same = (Counter(wanted) & Counter(found)).total()
    return f1_precision_recall(same, len(found), len(wanted))[0]
