"""Named entity recognition: sentences with names of persons, organisations and cities, tagged like PAN-X."""

from dataclasses import replace

import numpy as np

from stiltwalk.miniworld.generate import lexicon
from stiltwalk.miniworld.generate.facts import (
    ADPOSITIONS,
    ANIMATE_NOUNS,
    INANIMATE_NOUNS,
    Fact,
    Noun,
    choose,
    draw_noun,
)
from stiltwalk.miniworld.generate.language import Language, Plan, Question, Token, render
from stiltwalk.miniworld.generate.tagging import draw_nonce_word, draw_sentence

TRADE_VERBS = ("buy.VERB", "sell.VERB")
OTHER_VERBS = [verb for verb in lexicon.WORDS["transitive"] if verb not in TRADE_VERBS]
_NAME_SUFFIXES = tuple(f".{kind}" for kind in lexicon.NAMES)


def draw_sentence_with_names(rng: np.random.Generator) -> Plan:
    """Draw a sentence with at least one name. A name is tagged with its entity type, and may have two words.

    Many names are nonce words, so that only the context reveals their type: only organisations buy and sell, cities
    follow an adposition, and nouns that are not names have a determiner.
    """
    while True:
        plan = [_draw_names(piece, rng) for piece in draw_sentence(rng)]
        if any(word.endswith(_NAME_SUFFIXES) for piece in plan for word in _heads(piece)):
            return plan


def tag_names(plan: Plan, language: Language) -> list[Token]:
    """Put a sentence into a language, with IOB2 tags (O, B-<type>, I-<type>) in place of parts of speech."""
    tokens: list[Token] = []
    for form, tag in render(plan, language):
        if tag in lexicon.NAMES:
            tokens += [(word, f"{'I' if i else 'B'}-{tag}") for i, word in enumerate(form.split())]
        else:
            tokens.append((form, "O"))
    return tokens


def _draw_names(piece: Fact | Question | str, rng: np.random.Generator) -> Fact | Question | str:
    if isinstance(piece, Fact):
        return _draw_names_in_fact(piece, rng)
    if isinstance(piece, str) and piece.endswith(".PROPN"):
        return _draw_name(rng, "PER")
    return piece


def _draw_names_in_fact(fact: Fact, rng: np.random.Generator) -> Fact:
    kind = rng.random()
    is_report = fact.verb in lexicon.WORDS["report"]
    if kind < 0.4:
        fact = replace(fact, subject=Noun(_draw_name(rng, "PER")))
        if fact.verb in TRADE_VERBS:
            fact = replace(fact, verb=choose(rng, OTHER_VERBS))
    elif kind < 0.7 and not is_report:
        fact = replace(fact, subject=Noun(_draw_name(rng, "ORG")), verb=choose(rng, TRADE_VERBS))
        fact = replace(fact, object=fact.object or draw_noun(rng, INANIMATE_NOUNS))
    elif fact.subject.head.endswith(".PROPN"):
        fact = replace(fact, subject=draw_noun(rng, ANIMATE_NOUNS))
    if fact.object and (fact.object.head.endswith(".PROPN") or rng.random() < 0.2):
        fact = replace(fact, object=Noun(_draw_name(rng, "PER")))
    if (fact.place and fact.place[1].head.endswith(".PROPN")) or (not is_report and rng.random() < 0.4):
        fact = replace(fact, place=(choose(rng, ADPOSITIONS), Noun(_draw_name(rng, "LOC"))))
    return fact


def _draw_name(rng: np.random.Generator, kind: str) -> str:
    """Draw a name of one word (70 %) or two (30 %); each word is a nonce word with a probability of 30 %."""
    known = [lexicon.split_concept(name)[0] for name in lexicon.NAMES[kind]]
    drawn = rng.choice(len(known), 2 if rng.random() < 0.3 else 1, replace=False)
    words = [draw_nonce_word(rng).capitalize() if rng.random() < 0.3 else known[int(i)] for i in drawn]
    return f"{' '.join(words)}.{kind}"


def _heads(piece: Fact | Question | str) -> list[str]:
    if isinstance(piece, Fact):
        return [noun.head for noun in (piece.subject, piece.object, piece.place and piece.place[1]) if noun]
    return [piece] if isinstance(piece, str) else []
