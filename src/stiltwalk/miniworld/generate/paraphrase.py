"""Paraphrase identification: pairs of sentences or questions with the same meaning, or with only similar words."""

from dataclasses import replace

import numpy as np

from stiltwalk.miniworld.generate.facts import (
    INANIMATE_NOUNS,
    MODIFIERS,
    PARTICIPANTS,
    Fact,
    choose,
    draw_fact,
    with_parts,
)
from stiltwalk.miniworld.generate.inference import draw_similar_facts, without_articles
from stiltwalk.miniworld.generate.language import Language, Plan, Question, Token, render
from stiltwalk.miniworld.generate.reading import ASKABLE_PARTS, draw_passage

_ENGLISH_WITHOUT_ARTICLES = Language("en", article="none")


def meaning(plan: Plan) -> tuple[Token, ...]:
    """Return what a sentence says in every language: its concepts without articles, as some languages have none."""
    return tuple(render(plan, _ENGLISH_WITHOUT_ARTICLES))


def draw_statements(rng: np.random.Generator, same: bool) -> tuple[Fact, Fact]:
    """Draw two statements in a random order, one of which leaves out a detail of the other.

    If they are not the same, they also differ in one part; in some of these pairs, subject and object are swapped
    and the words are the same. A detail is always left out, so that its absence does not reveal the label.
    """
    while True:
        fact = draw_fact(rng)
        swap = not same and rng.random() < 1 / 3
        others = [fact] if same else _swap_participants(fact) if swap else draw_similar_facts(fact, rng)
        if not others:
            continue
        other = choose(rng, others)
        details = _details(other) if swap else _shared_details(fact, other)
        if details and (same or without_articles(other) != without_articles(fact)):
            other = _without_detail(other, choose(rng, details))
            return (fact, other) if rng.random() < 0.5 else (other, fact)


def draw_questions(rng: np.random.Generator, same: bool) -> tuple[Question, Question]:
    """Draw two questions in a random order, one of which leaves out details of the other.

    If they are not the same, they also are about similar facts or ask for different parts of one fact.
    """
    while True:
        passage = draw_passage(rng, facts=1)
        question = (passage.facts[0], passage.asked)
        others = [question] if same else _draw_other_questions(question, rng)
        if not others:
            continue
        fact, asked = choose(rng, others)
        details = [part for part in _shared_details(question[0], fact) if part != asked]
        if not details:
            continue
        left_out = choose(rng, details)
        for part in details:
            if part == left_out or rng.random() < 0.5:
                fact = _without_detail(fact, part)
        other = (fact, asked)
        return (question, other) if rng.random() < 0.5 else (other, question)


def _swap_participants(fact: Fact) -> list[Fact]:
    """Swap subject and object; returns no fact if the object cannot be a subject."""
    if not fact.object or fact.object.head in (fact.subject.head, *INANIMATE_NOUNS):
        return []
    return [with_parts(fact, subject=fact.object, object=fact.subject)]


def _draw_other_questions(question: Question, rng: np.random.Generator) -> list[Question]:
    fact, asked = question
    if rng.random() < 0.5:
        return [(fact, part) for part in ASKABLE_PARTS if part != asked and getattr(fact, part)]
    others: list[Question] = [(other, asked) for other in draw_similar_facts(fact, rng)]
    return [other for other in others if meaning([other]) != meaning([question])]


def _details(fact: Fact) -> list[str]:
    """Return the modifiers of a fact, and its participants that have an adjective."""
    nouns = [role for role in PARTICIPANTS if (noun := getattr(fact, role)) and noun.adjective]
    return [*nouns, *(part for part in MODIFIERS if getattr(fact, part))]


def _shared_details(fact: Fact, other: Fact) -> list[str]:
    """Return the details of the other fact whose parts are equal in both facts."""
    return [part for part in _details(other) if getattr(other, part) == getattr(fact, part)]


def _without_detail(fact: Fact, part: str) -> Fact:
    """Leave out a modifier, or the adjective of a participant."""
    return with_parts(fact, **{part: replace(getattr(fact, part), adjective=None) if part in PARTICIPANTS else None})
