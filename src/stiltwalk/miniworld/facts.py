"""Facts of the mini world: who did what to whom, where and when; drawn at random, in no language yet."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stiltwalk.miniworld import lexicon


@dataclass(frozen=True)
class Noun:
    """A noun phrase: a noun with its determiner and perhaps an adjective, or a bare name."""

    head: str
    determiner: str | None = None
    adjective: str | None = None


@dataclass(frozen=True)
class Fact:
    """One clause; words are concepts of the lexicon (`dog.NOUN`), names (`Anna.PROPN`) or numbers (`7.NUM`)."""

    subject: Noun
    auxiliary: str
    verb: str
    object: Noun | None = None
    place: tuple[str, Noun] | None = None  # adposition and noun
    time: str | None = None  # a number
    adverb: str | None = None
    negated: bool = False


MODIFIERS = ("place", "time", "adverb")


def generator(*key: Any) -> np.random.Generator:
    """A stream of random numbers of its own for each key, the same on every machine."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:16], "big"))


def choose(rng: np.random.Generator, options: Any) -> Any:
    """One of the options, all alike."""
    return options[int(rng.integers(len(options)))]


PEOPLE, CITIES, ORGANISATIONS = (lexicon.NAMES[kind] for kind in ("PER", "LOC", "ORG"))
BEINGS = [*lexicon.HYPONYMS["person.NOUN"], *lexicon.HYPONYMS["animal.NOUN"]]
THINGS = [word for word in lexicon.HYPERNYM if word not in BEINGS]
ADVERBS, ADPOSITIONS = lexicon.WORDS["ADV"], [word for word in lexicon.WORDS["ADP"] if word != "at.ADP"]


def change(fact: Fact, **parts: Any) -> Fact:
    """The fact with other parts, by name."""
    return replace(fact, **parts)


def draw_noun(rng: np.random.Generator, heads: list[str], adjectives: float = 0.5) -> Noun:
    """A noun phrase with one of the heads; a common noun has an adjective with the given probability."""
    head = choose(rng, heads)
    if head.endswith(".PROPN"):
        return Noun(head)
    return Noun(
        head, choose(rng, ("the.DET", "a.DET")), choose(rng, lexicon.ADJECTIVES) if rng.random() < adjectives else None
    )


def draw_subject(rng: np.random.Generator) -> Noun:
    """A subject: a person by name, a being, seldom an organisation."""
    return draw_noun(rng, PEOPLE if (kind := rng.random()) < 0.35 else BEINGS if kind < 0.9 else ORGANISATIONS)


def draw_place(rng: np.random.Generator) -> tuple[str, Noun]:
    """An adposition and a place, seldom a city."""
    return choose(rng, ADPOSITIONS), draw_noun(
        rng, CITIES if rng.random() < 0.2 else lexicon.WORDS["place"], adjectives=0.0
    )


def draw_fact(rng: np.random.Generator, transitive: float = 0.75, modifiers: float = 0.4) -> Fact:
    """A fact; `transitive` is the probability of an object, `modifiers` that of each of place, time and adverb."""
    fact = Fact(draw_subject(rng), choose(rng, lexicon.WORDS["AUX"]), choose(rng, lexicon.WORDS["intransitive"]))
    if rng.random() < transitive:
        heads = (PEOPLE, BEINGS, THINGS, THINGS)[int(rng.integers(4))]
        fact = replace(fact, verb=choose(rng, lexicon.WORDS["transitive"]), object=draw_noun(rng, heads))
    for modifier in MODIFIERS:
        if rng.random() < modifiers:
            fact = change(fact, **{modifier: DRAW[modifier](rng)})
    return fact


DRAW: dict[str, Callable[[np.random.Generator], Any]] = {
    "place": draw_place,
    "time": lambda rng: choose(rng, lexicon.NUMBERS),
    "adverb": lambda rng: choose(rng, ADVERBS),
}


def split_of(content: Any) -> str:
    """The split that something belongs to, by a hash of it: nothing can be in two of them, whatever is drawn."""
    tenth = hashlib.sha256(repr(content).encode()).digest()[0] % 10
    return "test" if tenth < 3 else "validation" if tenth < 5 else "train"
