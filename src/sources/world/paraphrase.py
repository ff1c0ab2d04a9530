"""Sentences and questions that mean the same in other words, and others of nearly those words that do not."""

from dataclasses import replace

import numpy as np

from sources.world.facts import MODIFIERS, THINGS, Fact, change, choose, draw_fact
from sources.world.inference import ROLES, bare, near_facts
from sources.world.language import Language, Plan, Token, say
from sources.world.reading import ASKED, draw_passage

Question = tuple[Fact, str]  # and the part that is asked for
CORE = Language("en", article="none")


def meaning(plan: Plan) -> tuple[Token, ...]:
    """What a plan says whatever the language: its concepts without articles, as not every language has them."""
    return tuple(say(plan, CORE))


def draw_joined(rng: np.random.Generator, same: bool) -> tuple[list[Fact], list[Fact]]:
    """Two facts and, in the other order, the same or not: a third with parts exchanged, the rest with one fact changed.

    That two facts come in the other order tells nothing: they always do.
    """
    alter = _exchange if rng.random() < 1 / 3 else _replace
    while True:
        facts = [draw_fact(rng), draw_fact(rng)]
        others = facts if same else alter(facts, rng)
        if same or {bare(fact) for fact in facts} != {bare(fact) for fact in others}:
            return facts, others[::-1]


def _exchange(facts: list[Fact], rng: np.random.Generator) -> list[Fact]:
    """The same words, but two clauses have exchanged a part, or one its subject and object."""
    one, two = facts
    between = [
        [change(one, **{part: getattr(two, part)}), change(two, **{part: getattr(one, part)})]
        for part in ("subject", "object", "place")
        if getattr(one, part) and getattr(two, part)
    ]
    within = [
        [change(fact, subject=fact.object, object=fact.subject) if fact is swapped else fact for fact in facts]
        for swapped in facts
        if swapped.object and swapped.object.head not in THINGS
    ]
    exchanged: list[Fact] = choose(rng, between + within)
    return exchanged


def _replace(facts: list[Fact], rng: np.random.Generator) -> list[Fact]:
    """A near fact in place of one of the two, if there is one."""
    number = int(rng.integers(2))
    near = near_facts(facts[number], rng)[1:] or [facts[number]]
    return [choose(rng, near) if i == number else fact for i, fact in enumerate(facts)]


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
        details = [part for part in _details(other) if part != asked and getattr(other, part) == getattr(fact, part)]
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


def _without(fact: Fact, part: str) -> Fact:
    return change(fact, **{part: replace(getattr(fact, part), adjective=None) if part in ROLES else None})
