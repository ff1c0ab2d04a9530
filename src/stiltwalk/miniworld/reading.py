"""Passages of several facts, each with a question that exactly one of them answers."""

import numpy as np

from stiltwalk.miniworld.facts import Fact, change, choose, draw_fact

ASKED = ("subject", "object", "place", "time")


def draw_passage(rng: np.random.Generator, facts: int = 3) -> tuple[list[Fact], Fact, str, int]:
    """Facts, a question (a fact with a part that is asked for), that part, and the number of the fact that answers it.

    Other facts share some of its words; none fits the question.
    """
    while True:
        answer = draw_fact(rng, transitive=0.8, modifiers=0.5)
        asked = choose(rng, [part for part in ASKED if getattr(answer, part)])
        others = [_similar(answer, rng) if rng.random() < 0.7 else draw_fact(rng) for _ in range(facts - 1)]
        question = answer
        for modifier in ("place", "time", "adverb"):
            if modifier != asked and rng.random() < 0.5:
                question = change(question, **{modifier: None})
        if not any(_fits(other, question, asked) for other in others):
            place = int(rng.integers(facts))
            return [*others[:place], answer, *others[place:]], question, asked, place


def draw_unanswered(rng: np.random.Generator, facts: int = 3) -> tuple[list[Fact], Fact, str, None]:
    """As `draw_passage`, but the fact that answers is taken out of a passage that had one more.

    What the question says, and something of the kind that it asks for, is mostly still said by one fact or another:
    that a word is missing would tell that the answer is.
    """
    passage, question, asked, place = draw_passage(rng, facts + 1)
    answer = passage.pop(place)
    for part in ("auxiliary", "verb", *ASKED, "adverb"):
        said = [value for fact in passage if (value := getattr(fact, part))]
        wanted = getattr(question, part)
        if not wanted or wanted in said or (part == asked and said):
            continue
        changed = [(i, change(fact, **{part: wanted})) for i, fact in enumerate(passage)]
        if part in ("verb", "object"):
            changed = [(i, fact) for i, fact in changed if bool(passage[i].object) == bool(answer.object)]
        if changed := [(i, fact) for i, fact in changed if not _fits(fact, question, asked)]:
            number, fact = choose(rng, changed)
            passage[number] = fact
    return passage, question, asked, None


def _similar(fact: Fact, rng: np.random.Generator) -> Fact:
    """The fact with two or more of its parts drawn anew."""
    other = draw_fact(rng, transitive=float(fact.object is not None), modifiers=0.5)
    parts = [part for part in ("subject", "verb", "object", "place", "time") if getattr(fact, part)]
    kept = {part: getattr(fact, part) for part in parts if rng.random() < 0.5}
    return change(other, **kept)


def _fits(fact: Fact, question: Fact, asked: str) -> bool:
    """Whether a fact answers the question too: it has the part that is asked for and everything that is given."""
    given = [
        part
        for part in ("subject", "verb", "object", "place", "time", "adverb")
        if part != asked and getattr(question, part)
    ]
    return bool(getattr(fact, asked)) and all(getattr(fact, part) == getattr(question, part) for part in given)
