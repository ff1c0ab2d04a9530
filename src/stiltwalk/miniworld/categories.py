"""Combinatory categories of words as in CCGbank (Hockenmaier and Steedman 2007), with English's slashes everywhere."""

from dataclasses import replace

import numpy as np

from stiltwalk.miniworld.facts import Fact
from stiltwalk.miniworld.language import Language, Plan, Token, say, speak
from stiltwalk.miniworld.tagging import draw_sentence

_ADVERB = r"(S\NP)\(S\NP)"
CATEGORIES = {  # of words whose part of speech says it all
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
_SUBORDINATE = f"({_ADVERB})/S[dcl]"  # because, if
_THAT = "S[em]/S[dcl]"


def draw_parsed(rng: np.random.Generator) -> Plan:
    """A sentence, in which three objects in ten are left out: what category its verb has is not in the verb."""
    return [
        replace(piece, object=None) if isinstance(piece, Fact) and piece.object and rng.random() < 0.3 else piece
        for piece in draw_sentence(rng)
    ]


def categorise(plan: Plan, language: Language) -> list[Token]:
    """The words of a sentence in a language with their categories."""
    categories: list[str] = []
    for piece, after in zip(plan, [*plan[1:], ""], strict=True):
        if isinstance(piece, Fact):
            verb = r"(S[b]\NP)/S[em]" if after == "that.SCONJ" else r"(S[b]\NP)/NP" if piece.object else r"S[b]\NP"
            tags = [tag for _, part in speak(piece, language) for _, tag in part]
            categories += [verb if tag == "VERB" else CATEGORIES[tag] for tag in tags]
        elif isinstance(piece, str):
            word, _, tag = piece.rpartition(".")
            if tag == "PUNCT":
                categories.append("," if word == "," else ".")
            elif tag == "SCONJ":
                categories.append(_THAT if word == "that" else _SUBORDINATE)
            else:
                categories.append(CATEGORIES[tag])
    return [(form, category) for (form, _), category in zip(say(plan, language), categories, strict=True)]
