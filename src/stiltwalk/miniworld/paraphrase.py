"""Sentences and questions that mean the same in other words, and others of nearly those words that do not."""

from dataclasses import replace

import numpy as np

from stiltwalk.miniworld.facts import MODIFIERS, THINGS, Fact, change, choose, draw_fact
from stiltwalk.miniworld.inference import ROLES, bare, near_facts
from stiltwalk.miniworld.language import Language, Plan, Token, say
from stiltwalk.miniworld.reading import ASKED, draw_passage

Question = tuple[Fact, str]  # and the part that is asked for
CORE = Language("en", article="none")


def meaning(plan: Plan) -> tuple[Token, ...]:
    """What a plan says whatever the language: its concepts without articles, as not every language has them."""
    return tuple(say(plan, CORE))


def draw_statements(rng: np.random.Generator, same: bool) -> tuple[tuple[Token, ...], Fact, Fact]:
    """The meaning of the first of two facts, and both: one, first or second, leaves out a detail of the other.

    Facts that are not the same are near ones besides; a third of them have the same words, but what was the subject is
    the object. That something is left out tells nothing: it always is.
    """
    while True:
        fact = draw_fact(rng)
        swap = not same and rng.random() < 1 / 3
        others = [fact] if same else _exchanged(fact) if swap else near_facts(fact, rng)[1:]
        if not others:
            continue
        other = choose(rng, others)
        details = _details(other) if swap else _shared(fact, other)
        if details and (same or bare(other) != bare(fact)):
            other = _without(other, choose(rng, details))
            first, second = [fact, other][:: 1 if rng.random() < 0.5 else -1]
            return meaning([first]), first, second


def _exchanged(fact: Fact) -> list[Fact]:
    """The fact with subject and object exchanged, where the object could do what the subject does."""
    if not fact.object or fact.object.head in (fact.subject.head, *THINGS):
        return []
    return [change(fact, subject=fact.object, object=fact.subject)]


def draw_questions(rng: np.random.Generator, same: bool) -> tuple[tuple[Token, ...], Question, Question]:
    """The meaning of the first of two questions, and both: one, first or second, leaves out details of the other.

    Questions that are not the same are besides about near facts, or ask for other parts of one.
    """
    while True:
        (fact,), _, asked, _ = draw_passage(rng, facts=1)
        question = (fact, asked)
        others = [question] if same else _other_questions(question, rng)
        if not others:
            continue
        other, asked = choose(rng, others)
        details = [part for part in _shared(fact, other) if part != asked]
        if not details:
            continue
        out = choose(rng, details)
        for part in details:
            if part == out or rng.random() < 0.5:
                other = _without(other, part)
        first, second = [question, (other, asked)][:: 1 if rng.random() < 0.5 else -1]
        return meaning([first]), first, second


def _other_questions(question: Question, rng: np.random.Generator) -> list[Question]:
    fact, asked = question
    if rng.random() < 0.5:
        return [(fact, part) for part in ASKED if part != asked and getattr(fact, part)]
    near: list[Question] = [(other, asked) for other in near_facts(fact, rng)[1:]]
    return [other for other in near if meaning([other]) != meaning([question])]


def _details(fact: Fact) -> list[str]:
    """The parts of a fact that it could do without, or without the adjective of."""
    nouns = [role for role in ROLES if (noun := getattr(fact, role)) and noun.adjective]
    return [*nouns, *(part for part in MODIFIERS if getattr(fact, part))]


def _shared(fact: Fact, other: Fact) -> list[str]:
    """The details of the other fact that are in parts which both have alike."""
    return [part for part in _details(other) if getattr(other, part) == getattr(fact, part)]


def _without(fact: Fact, part: str) -> Fact:
    return change(fact, **{part: replace(getattr(fact, part), adjective=None) if part in ROLES else None})
