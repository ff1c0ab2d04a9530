"""Pairs of sentences: does the first fact entail the second, contradict it, or neither?"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from stiltwalk.miniworld import lexicon
from stiltwalk.miniworld.facts import (
    BEINGS,
    DRAW,
    MODIFIERS,
    ORGANISATIONS,
    PEOPLE,
    THINGS,
    Fact,
    Noun,
    change,
    choose,
    draw_fact,
    draw_noun,
)

LABELS = ("entailment", "neutral", "contradiction")
ROLES = ("subject", "object")


def draw_pair(rng: np.random.Generator, label: str) -> tuple[Fact, Fact]:
    """A premise and a hypothesis of a label.

    A hypothesis leaves out some of what the premise says, unless that is a denial: with less detail it would deny more.
    One that is not entailed changes one thing besides.
    """
    while True:
        premise = replace(draw_fact(rng, modifiers=0.5), negated=bool(rng.random() < 0.15))
        if hypothesis := draw_hypothesis(rng, premise, label):
            return premise, hypothesis


def draw_hypothesis(rng: np.random.Generator, premise: Fact, label: str) -> Fact | None:
    """A hypothesis of a label to a premise; None if the change that was drawn is not possible there."""
    edits = _EDITS[label]
    changed = edits[int(rng.integers(len(edits)))](premise, rng)
    if changed is None:
        return None
    hypothesis, kept = changed
    return hypothesis if premise.negated else _leave_out(hypothesis, kept, rng)


def entails(premise: Fact, hypothesis: Fact) -> bool:
    """Whether a hypothesis says nothing but what the premise says, perhaps with less detail or more general nouns.

    Articles count for nothing, as not every language has them.
    """
    if premise.negated or hypothesis.negated:
        return bare(premise) == bare(hypothesis)
    premise, hypothesis = bare(premise), bare(hypothesis)
    return (
        (premise.auxiliary, premise.verb) == (hypothesis.auxiliary, hypothesis.verb)
        and all(_covers(getattr(premise, role), getattr(hypothesis, role)) for role in ROLES)
        and all(getattr(hypothesis, part) in (None, getattr(premise, part)) for part in MODIFIERS)
    )


def bare(fact: Fact) -> Fact:
    """The fact without its articles."""
    changes: dict[str, Any] = {role: replace(noun, determiner=None) for role in ROLES if (noun := getattr(fact, role))}
    if fact.place:
        changes["place"] = (fact.place[0], replace(fact.place[1], determiner=None))
    return change(fact, **changes)


def _covers(noun: Noun | None, other: Noun | None) -> bool:
    if noun is None or other is None:
        return other is None
    return other.head in (noun.head, lexicon.HYPERNYM.get(noun.head)) and other.adjective in (None, noun.adjective)


# A fact with a change, and the part of it that must stay; None if the fact has no such part.
Edited = tuple[Fact, str] | None


def _with_adjective(fact: Fact, role: str, adjective: str | None) -> Fact:
    return change(fact, **{role: replace(getattr(fact, role), adjective=adjective)})


def _leave_out(fact: Fact, kept: str, rng: np.random.Generator) -> Fact:
    for modifier in MODIFIERS:
        if modifier != kept and rng.random() < 0.6:
            fact = change(fact, **{modifier: None})
    for role in ROLES:
        if role != kept and getattr(fact, role) and rng.random() < 0.6:
            fact = _with_adjective(fact, role, None)
    return fact


def _common_nouns(fact: Fact) -> list[str]:
    return [role for role in ROLES if (noun := getattr(fact, role)) and noun.head.endswith(".NOUN")]


def _pick(rng: np.random.Generator, options: list[Any]) -> Any:
    return choose(rng, options) if options else None


# Entailed.


def _same(fact: Fact, rng: np.random.Generator) -> Edited:
    return fact, ""


def _more_general(fact: Fact, rng: np.random.Generator) -> Edited:
    role = _pick(rng, [role for role in _common_nouns(fact) if getattr(fact, role).head in lexicon.HYPERNYM])
    if role is None or fact.negated:
        return None
    noun = getattr(fact, role)
    return change(fact, **{role: replace(noun, head=lexicon.HYPERNYM[noun.head])}), ""


# Contradicted.


def _negate(fact: Fact, rng: np.random.Generator) -> Edited:
    return replace(fact, negated=not fact.negated), ""


def _opposite_verb(fact: Fact, rng: np.random.Generator) -> Edited:
    if fact.verb not in lexicon.EXCLUDED or fact.negated:
        return None
    return replace(fact, verb=choose(rng, lexicon.EXCLUDED[fact.verb])), ""


def _opposite_adjective(fact: Fact, rng: np.random.Generator) -> Edited:
    role = _pick(rng, [role for role in _common_nouns(fact) if getattr(fact, role).adjective])
    if role is None or fact.negated:
        return None
    return _with_adjective(fact, role, choose(rng, lexicon.EXCLUDED[getattr(fact, role).adjective])), role


def _opposite_adverb(fact: Fact, rng: np.random.Generator) -> Edited:
    if fact.adverb not in lexicon.EXCLUDED or fact.negated:
        return None
    return replace(fact, adverb=choose(rng, lexicon.EXCLUDED[fact.adverb])), "adverb"


def _other_circumstance(fact: Fact, rng: np.random.Generator) -> Edited:
    modifier = _pick(rng, [name for name in ("place", "time") if getattr(fact, name)])
    if modifier is None or fact.negated:
        return None
    return _other(fact, modifier, rng), modifier


def _swapped(fact: Fact, rng: np.random.Generator) -> Edited:
    if not fact.object or fact.object.head in THINGS or fact.negated:
        return None
    return replace(fact, subject=fact.object, object=fact.subject), ""


# Neither.


def _added(fact: Fact, rng: np.random.Generator) -> Edited:
    modifier = _pick(rng, [name for name in MODIFIERS if not getattr(fact, name)])
    return None if modifier is None or fact.negated else (change(fact, **{modifier: DRAW[modifier](rng)}), modifier)


def _added_adjective(fact: Fact, rng: np.random.Generator) -> Edited:
    role = _pick(rng, [role for role in _common_nouns(fact) if not getattr(fact, role).adjective])
    return (
        None if role is None or fact.negated else (_with_adjective(fact, role, choose(rng, lexicon.ADJECTIVES)), role)
    )


def _moved_adjective(fact: Fact, rng: np.random.Generator) -> Edited:
    roles = _common_nouns(fact)
    if len(roles) < 2 or (fact.subject.adjective is None) == (fact.object is None or fact.object.adjective is None):
        return None
    source, target = roles if fact.subject.adjective else roles[::-1]
    return _with_adjective(_with_adjective(fact, target, getattr(fact, source).adjective), source, None), target


def _other_participant(fact: Fact, rng: np.random.Generator) -> Edited:
    role = choose(rng, [role for role in ROLES if getattr(fact, role)])
    noun: Noun = getattr(fact, role)
    pools = [pool for pool in (PEOPLE, ORGANISATIONS, BEINGS, THINGS) if noun.head in pool]
    if not pools:
        return None
    other = replace(draw_noun(rng, pools[0], adjectives=0.0), adjective=None)
    if other.head == noun.head:
        return None
    if other.head.endswith(".NOUN"):
        other = replace(other, determiner=noun.determiner, adjective=noun.adjective)
    return change(fact, **{role: other}), role


def _other(fact: Fact, modifier: str, rng: np.random.Generator) -> Fact:
    while True:
        drawn = DRAW[modifier](rng)
        # Another adposition would leave open whether both hold; another place or time does not.
        if modifier == "place" and fact.place:
            drawn = (fact.place[0], drawn[1])
        if drawn != getattr(fact, modifier):
            return change(fact, **{modifier: drawn})


_EDITS: dict[str, list[Callable[[Fact, np.random.Generator], Edited]]] = {  # a share of the pairs for each mention
    "entailment": [_same, _same, _more_general],
    "neutral": [_added, _added, _added_adjective, _other_participant, _other_circumstance, _moved_adjective],
    "contradiction": [_negate, _negate, _opposite_verb, _opposite_adjective, _opposite_adverb, _swapped],
}


def near_facts(fact: Fact, rng: np.random.Generator) -> list[Fact]:
    """A fact and up to three others that are easily taken for it: one part changed, or subject and object swapped."""
    edits = [_swapped, _opposite_verb, _opposite_adjective, _other_circumstance, _other_participant]
    changed = [edits[int(i)](fact, rng) for i in rng.choice(len(edits), 3, replace=False)]
    return [fact, *(edited[0] for edited in changed if edited)]
