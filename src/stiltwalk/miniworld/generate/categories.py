"""CCG supertagging with the categories of CCGbank (Hockenmaier and Steedman 2007).

Slashes have English's directions in every language.
"""

from dataclasses import replace

import numpy as np

from stiltwalk.miniworld.generate import lexicon
from stiltwalk.miniworld.generate.facts import Fact
from stiltwalk.miniworld.generate.language import Language, Plan, Token, render, render_clause
from stiltwalk.miniworld.generate.tagging import draw_sentence

_ADVERB = r"(S\NP)\(S\NP)"
_CATEGORY_OF_TAG = {  # for parts of speech that determine the category
    "ADJ": "N/N",
    "ADP": f"({_ADVERB})/NP",
    "ADV": _ADVERB,
    "AUX": r"(S[dcl]\NP)/(S[b]\NP)",
    "CCONJ": "conj",
    "DET": "NP/N",
    "INTJ": "S/S",
    "NOUN": "N",
    "NUM": "NP",
    "PART": _ADVERB,
    "PRON": "NP",
    "PROPN": "NP",
}
_TRANSITIVE, _INTRANSITIVE, _WITH_THAT_CLAUSE = r"(S[b]\NP)/NP", r"S[b]\NP", r"(S[b]\NP)/S[em]"
_SUBORDINATOR = f"({_ADVERB})/S[dcl]"  # because, if
_THAT = "S[em]/S[dcl]"


def draw_ccg_sentence(rng: np.random.Generator) -> Plan:
    """Draw a sentence in which 30 % of the objects are left out, so that a verb form does not reveal its category."""
    return [
        replace(piece, object=None) if isinstance(piece, Fact) and piece.object and rng.random() < 0.3 else piece
        for piece in draw_sentence(rng)
    ]


def tag_categories(plan: Plan, language: Language) -> list[Token]:
    """Put a sentence into a language, with CCG categories in place of parts of speech."""
    categories: list[str] = []
    for piece, following in zip(plan, [*plan[1:], ""], strict=True):
        if isinstance(piece, Fact):
            has_that_clause = following == "that.SCONJ"
            verb = _WITH_THAT_CLAUSE if has_that_clause else _TRANSITIVE if piece.object else _INTRANSITIVE
            tags = [tag for part in render_clause(piece, language).values() for _, tag in part]
            categories += [verb if tag == "VERB" else _CATEGORY_OF_TAG[tag] for tag in tags]
        elif isinstance(piece, str):
            categories.append(_category_of_word(*lexicon.split_concept(piece)))
    return [(form, category) for (form, _), category in zip(render(plan, language), categories, strict=True)]


def _category_of_word(word: str, tag: str) -> str:
    if tag == "PUNCT":
        return "," if word == "," else "."
    if tag == "SCONJ":
        return _THAT if word == "that" else _SUBORDINATOR
    return _CATEGORY_OF_TAG[tag]
