"""Reading comprehension: passages of several facts, each with a question that at most one of the facts answers."""

from dataclasses import dataclass

import numpy as np

from stiltwalk.miniworld.generate.facts import Fact, choose, draw_fact, with_parts

ASKABLE_PARTS = ("subject", "object", "place", "time")


@dataclass(frozen=True)
class Passage:
    """Facts, and a question about one part of one of them."""

    facts: list[Fact]
    question: Fact
    """The fact that the question is about, with some of its details left out."""
    asked: str
    """The part that the question asks for, one of ASKABLE_PARTS."""
    answer: int | None
    """Index in `facts` of the fact that answers the question; None if no fact does."""


def draw_passage(rng: np.random.Generator, facts: int = 3) -> Passage:
    """Draw a passage with a number of facts, exactly one of which answers the question.

    The other facts share some words with that fact.
    """
    while True:
        answer = draw_fact(rng, transitive=0.8, modifiers=0.5)
        asked = choose(rng, [part for part in ASKABLE_PARTS if getattr(answer, part)])
        others = [_draw_similar(answer, rng) if rng.random() < 0.7 else draw_fact(rng) for _ in range(facts - 1)]
        question = answer
        for modifier in ("place", "time", "adverb"):
            if modifier != asked and rng.random() < 0.5:
                question = with_parts(question, **{modifier: None})
        if not any(_answers(other, question, asked) for other in others):
            place = int(rng.integers(facts))
            return Passage([*others[:place], answer, *others[place:]], question, asked, place)


def draw_unanswerable_passage(rng: np.random.Generator, facts: int = 3) -> Passage:
    """Draw a passage with a number of facts, none of which answers the question.

    The fact with the answer is removed from a longer passage. Most words of the question, and something that could be
    its answer, then move into other facts. Otherwise a missing word would reveal that the answer is missing.
    """
    passage = draw_passage(rng, facts + 1)
    assert passage.answer is not None
    question, asked, remaining = passage.question, passage.asked, list(passage.facts)
    removed = remaining.pop(passage.answer)
    for part in ("auxiliary", "verb", *ASKABLE_PARTS, "adverb"):
        values = [value for fact in remaining if (value := getattr(fact, part))]
        value = getattr(question, part)
        if not value or value in values or (part == asked and values):
            continue
        changed = [(i, with_parts(fact, **{part: value})) for i, fact in enumerate(remaining)]
        if part in ("verb", "object"):  # a transitive verb keeps an object, and an intransitive one gets none
            changed = [(i, fact) for i, fact in changed if bool(remaining[i].object) == bool(removed.object)]
        if changed := [(i, fact) for i, fact in changed if not _answers(fact, question, asked)]:
            i, fact = choose(rng, changed)
            remaining[i] = fact
    return Passage(remaining, question, asked, None)


def _draw_similar(fact: Fact, rng: np.random.Generator) -> Fact:
    """Draw a fact that shares about half of its parts with another one."""
    other = draw_fact(rng, transitive=float(fact.object is not None), modifiers=0.5)
    parts = [part for part in ("subject", "verb", "object", "place", "time") if getattr(fact, part)]
    shared = {part: getattr(fact, part) for part in parts if rng.random() < 0.5}
    return with_parts(other, **shared)


def _answers(fact: Fact, question: Fact, asked: str) -> bool:
    """Whether a fact answers the question: it has the part that is asked for, and all details of the question."""
    details = [
        part
        for part in ("subject", "verb", "object", "place", "time", "adverb")
        if part != asked and getattr(question, part)
    ]
    return bool(getattr(fact, asked)) and all(getattr(fact, part) == getattr(question, part) for part in details)
