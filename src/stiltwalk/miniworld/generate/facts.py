"""Facts of the mini world: who did what to whom, where and when. They are drawn at random and belong to no language."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from stiltwalk.miniworld.generate import lexicon

T = TypeVar("T")

PARTICIPANTS = ("subject", "object")
MODIFIERS = ("place", "time", "adverb")

PEOPLE, CITIES, ORGANISATIONS = (lexicon.NAMES[kind] for kind in ("PER", "LOC", "ORG"))
ANIMATE_NOUNS = [*lexicon.HYPONYMS["person.NOUN"], *lexicon.HYPONYMS["animal.NOUN"]]
INANIMATE_NOUNS = [noun for noun in lexicon.HYPERNYM if noun not in ANIMATE_NOUNS]
ADVERBS = lexicon.WORDS["ADV"]
ADPOSITIONS = [adposition for adposition in lexicon.WORDS["ADP"] if adposition != "at.ADP"]  # "at" introduces times


# `assign_split` hashes the repr of these two classes. Another class name, or other names or another order of the
# fields, would move rows from one split to another.
@dataclass(frozen=True)
class Noun:
    """A noun phrase: a noun with its determiner and perhaps an adjective, or a bare name or pronoun."""

    head: str
    determiner: str | None = None
    adjective: str | None = None


@dataclass(frozen=True)
class Fact:
    """One clause. Words are concepts of the lexicon (`dog.NOUN`), names (`Anna.PROPN`) or numbers (`7.NUM`)."""

    subject: Noun
    auxiliary: str
    verb: str
    object: Noun | None = None
    place: tuple[str, Noun] | None = None  # adposition and noun phrase
    time: str | None = None  # a number
    adverb: str | None = None
    negated: bool = False


def seeded_generator(*key: Any) -> np.random.Generator:
    """Create the random generator of a key. Each key has an independent stream, which is the same on every machine."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:16], "big"))


def choose(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Draw one of the options, all with the same probability."""
    return options[int(rng.integers(len(options)))]


def with_parts(fact: Fact, **parts: Any) -> Fact:
    """Return the fact with some of its parts replaced. The parts are untyped, so that their names may be computed."""
    return replace(fact, **parts)


def draw_noun(rng: np.random.Generator, heads: Sequence[str], adjectives: float = 0.5) -> Noun:
    """Draw a noun phrase with one of the heads; a common noun has an adjective with the given probability."""
    head = choose(rng, heads)
    if head.endswith(".PROPN"):
        return Noun(head)
    determiner = choose(rng, ("the.DET", "a.DET"))
    adjective = choose(rng, lexicon.ADJECTIVES) if rng.random() < adjectives else None
    return Noun(head, determiner, adjective)


def draw_subject(rng: np.random.Generator) -> Noun:
    """Draw a subject: a person by name, an animate noun or, rarely, an organisation."""
    kind = rng.random()
    return draw_noun(rng, PEOPLE if kind < 0.35 else ANIMATE_NOUNS if kind < 0.9 else ORGANISATIONS)


def draw_place(rng: np.random.Generator) -> tuple[str, Noun]:
    """Draw an adposition and a place, which is sometimes a city."""
    adposition = choose(rng, ADPOSITIONS)
    heads = CITIES if rng.random() < 0.2 else lexicon.WORDS["place"]
    return adposition, draw_noun(rng, heads, adjectives=0.0)


def draw_modifier(rng: np.random.Generator, modifier: str) -> tuple[str, Noun] | str:
    """Draw a value for one of MODIFIERS."""
    if modifier == "place":
        return draw_place(rng)
    return choose(rng, lexicon.NUMBERS if modifier == "time" else ADVERBS)


def draw_fact(rng: np.random.Generator, transitive: float = 0.75, modifiers: float = 0.4) -> Fact:
    """Draw a fact.

    transitive: the probability of an object.
    modifiers: the probability of each of place, time and adverb.
    """
    fact = Fact(draw_subject(rng), choose(rng, lexicon.WORDS["AUX"]), choose(rng, lexicon.WORDS["intransitive"]))
    if rng.random() < transitive:
        heads = (PEOPLE, ANIMATE_NOUNS, INANIMATE_NOUNS, INANIMATE_NOUNS)[int(rng.integers(4))]
        fact = replace(fact, verb=choose(rng, lexicon.WORDS["transitive"]), object=draw_noun(rng, heads))
    for modifier in MODIFIERS:
        if rng.random() < modifiers:
            fact = with_parts(fact, **{modifier: draw_modifier(rng, modifier)})
    return fact


def assign_split(content: Any) -> str:
    """Assign content to a split by a hash of its repr, so that no content can ever be in two splits."""
    tenth = hashlib.sha256(repr(content).encode()).digest()[0] % 10
    return "test" if tenth < 3 else "validation" if tenth < 5 else "train"
