"""Sentences with names of persons, organisations and cities, tagged as PAN-X tags them."""

from dataclasses import replace

import numpy as np

from stiltwalk.miniworld import lexicon
from stiltwalk.miniworld.facts import ADPOSITIONS, BEINGS, THINGS, Fact, Noun, choose, draw_noun
from stiltwalk.miniworld.language import Language, Plan, Token, say
from stiltwalk.miniworld.tagging import draw_sentence, nonce

TRADE = ("buy.VERB", "sell.VERB")
OTHER_VERBS = [verb for verb in lexicon.WORDS["transitive"] if verb not in TRADE]


def draw_named(rng: np.random.Generator) -> Plan:
    """A sentence with a name or more; a name's tag is its type, and one of two words is one item.

    Many names are words that nobody has seen, so that only their place tells what they are: organisations buy or sell,
    which persons never do; cities follow an adposition; a noun that is not a name has a determiner.
    """
    while True:
        plan = draw_sentence(rng)
        named: Plan = []
        for piece in plan:
            if isinstance(piece, Fact):
                named.append(_with_names(piece, rng))
            elif isinstance(piece, str) and piece.endswith(".PROPN"):
                named.append(_name(rng, "PER"))
            else:
                named.append(piece)
        if any(word.endswith(TYPES) for piece in named for word in _heads(piece)):
            return named


TYPES = tuple(f".{kind}" for kind in lexicon.NAMES)


def tag_names(plan: Plan, language: Language) -> list[Token]:
    """The words of a sentence in a language with O, B- or I- tags."""
    tagged: list[Token] = []
    for form, tag in say(plan, language):
        if tag in lexicon.NAMES:
            tagged += [(word, f"{'I' if i else 'B'}-{tag}") for i, word in enumerate(form.split())]
        else:
            tagged.append((form, "O"))
    return tagged


def _heads(piece: object) -> list[str]:
    if isinstance(piece, Fact):
        return [noun.head for noun in (piece.subject, piece.object, piece.place and piece.place[1]) if noun]
    return [piece] if isinstance(piece, str) else []


def _with_names(fact: Fact, rng: np.random.Generator) -> Fact:
    kind = rng.random()
    report = fact.verb in lexicon.WORDS["report"]
    if kind < 0.4:
        fact = replace(fact, subject=Noun(_name(rng, "PER")))
        if fact.verb in TRADE:
            fact = replace(fact, verb=choose(rng, OTHER_VERBS))
    elif kind < 0.7 and not report:
        fact = replace(fact, subject=Noun(_name(rng, "ORG")), verb=choose(rng, TRADE))
        fact = replace(fact, object=fact.object or draw_noun(rng, THINGS))
    elif fact.subject.head.endswith(".PROPN"):
        fact = replace(fact, subject=draw_noun(rng, BEINGS))
    if fact.object and (fact.object.head.endswith(".PROPN") or rng.random() < 0.2):
        fact = replace(fact, object=Noun(_name(rng, "PER")))
    if (fact.place and fact.place[1].head.endswith(".PROPN")) or (not report and rng.random() < 0.4):
        fact = replace(fact, place=(choose(rng, ADPOSITIONS), Noun(_name(rng, "LOC"))))
    return fact


def _name(rng: np.random.Generator, kind: str) -> str:
    """A name of one word or, three times in ten, of two; three words in ten are unheard of."""
    known = [name.rpartition(".")[0] for name in lexicon.NAMES[kind]]
    chosen = rng.choice(len(known), 2 if rng.random() < 0.3 else 1, replace=False)
    words = [nonce(rng).capitalize() if rng.random() < 0.3 else known[int(i)] for i in chosen]
    return f"{' '.join(words)}.{kind}"
