"""The words that count when two answers to a question are compared, by SQuAD v1.1's rule.

XTREME applies this rule to XQuAD and TyDiQA in every language. MLQA's rule differs from it in English only by removing
punctuation beyond ASCII.
"""

import re
import string

_REMOVE_PUNCTUATION = str.maketrans("", "", string.punctuation)
ENGLISH_ARTICLES = re.compile(r"\b(a|an|the)\b")


def squad_words(text: str) -> list[str]:
    """Lower-case a text, remove ASCII punctuation and English articles, and split it at whitespace."""
    return ENGLISH_ARTICLES.sub(" ", text.lower().translate(_REMOVE_PUNCTUATION)).split()
