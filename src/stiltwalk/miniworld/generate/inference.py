"""Natural language inference: pairs of facts of which the first entails the second, contradicts it, or does neither."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stiltwalk.miniworld.generate import lexicon
from stiltwalk.miniworld.generate.facts import (
    ANIMATE_NOUNS,
    INANIMATE_NOUNS,
    MODIFIERS,
    ORGANISATIONS,
    PARTICIPANTS,
    PEOPLE,
    Fact,
    Noun,
    choose,
    draw_fact,
    draw_modifier,
    draw_noun,
    with_parts,
)

LABELS = ("entailment", "neutral", "contradiction")


@dataclass(frozen=True)
class Edit:
    """A changed fact, and the part that carries the change ("" if any part may be left out)."""

    fact: Fact
    part: str = ""


def draw_pair(rng: np.random.Generator, label: str) -> tuple[Fact, Fact]:
    """Draw a premise and a hypothesis with a label.

    The hypothesis leaves out some details of the premise, unless the premise is negated: a negated sentence with fewer
    details would claim more. A hypothesis that is not entailed has one change besides.
    """
    while True:
        premise = replace(draw_fact(rng, modifiers=0.5), negated=bool(rng.random() < 0.15))
        if hypothesis := draw_hypothesis(rng, premise, label):
            return premise, hypothesis


def draw_hypothesis(rng: np.random.Generator, premise: Fact, label: str) -> Fact | None:
    """Draw a hypothesis with a label for a premise; None if the change that was drawn does not apply to it."""
    edits = _EDITS[label]
    edit = edits[int(rng.integers(len(edits)))](premise, rng)
    if edit is None:
        return None
    return edit.fact if premise.negated else _leave_out_details(edit, rng)


def entails(premise: Fact, hypothesis: Fact) -> bool:
    """Whether a hypothesis only repeats the premise, perhaps with fewer details or more general nouns.

    Articles do not count, because some languages have none.
    """
    premise, hypothesis = without_articles(premise), without_articles(hypothesis)
    if premise.negated or hypothesis.negated:
        return premise == hypothesis
    return (
        (premise.auxiliary, premise.verb) == (hypothesis.auxiliary, hypothesis.verb)
        and all(_noun_entails(getattr(premise, role), getattr(hypothesis, role)) for role in PARTICIPANTS)
        and all(getattr(hypothesis, part) in (None, getattr(premise, part)) for part in MODIFIERS)
    )


def without_articles(fact: Fact) -> Fact:
    """Return the fact without the determiners of its nouns."""
    changes: dict[str, Any] = {
        role: replace(noun, determiner=None) for role in PARTICIPANTS if (noun := getattr(fact, role))
    }
    if fact.place:
        adposition, noun = fact.place
        changes["place"] = (adposition, replace(noun, determiner=None))
    return with_parts(fact, **changes)


def draw_similar_facts(fact: Fact, rng: np.random.Generator) -> list[Fact]:
    """Draw up to three facts that are easily confused with a fact, each with one change to it."""
    edits = [_swap_participants, _oppose_verb, _oppose_adjective, _replace_circumstance, _replace_participant]
    drawn = [edits[int(i)](fact, rng) for i in rng.choice(len(edits), 3, replace=False)]
    return [edit.fact for edit in drawn if edit]


def _noun_entails(noun: Noun | None, other: Noun | None) -> bool:
    if noun is None or other is None:
        return other is None
    return other.head in (noun.head, lexicon.HYPERNYM.get(noun.head)) and other.adjective in (None, noun.adjective)


def _leave_out_details(edit: Edit, rng: np.random.Generator) -> Fact:
    fact = edit.fact
    for modifier in MODIFIERS:
        if modifier != edit.part and rng.random() < 0.6:
            fact = with_parts(fact, **{modifier: None})
    for role in PARTICIPANTS:
        if role != edit.part and getattr(fact, role) and rng.random() < 0.6:
            fact = _with_adjective(fact, role, None)
    return fact


def _with_adjective(fact: Fact, role: str, adjective: str | None) -> Fact:
    return with_parts(fact, **{role: replace(getattr(fact, role), adjective=adjective)})


def _common_nouns(fact: Fact) -> list[str]:
    """Return the roles of the participants that are common nouns."""
    return [role for role in PARTICIPANTS if (noun := getattr(fact, role)) and noun.head.endswith(".NOUN")]


def _choose_if_any(rng: np.random.Generator, options: list[str]) -> str | None:
    return choose(rng, options) if options else None


# Edits whose result is entailed. An edit returns None if it does not apply to the fact.


def _keep(fact: Fact, rng: np.random.Generator) -> Edit | None:
    return Edit(fact)


def _generalise_noun(fact: Fact, rng: np.random.Generator) -> Edit | None:
    role = _choose_if_any(rng, [role for role in _common_nouns(fact) if getattr(fact, role).head in lexicon.HYPERNYM])
    if role is None or fact.negated:
        return None
    noun = getattr(fact, role)
    return Edit(with_parts(fact, **{role: replace(noun, head=lexicon.HYPERNYM[noun.head])}))


# Edits whose result is a contradiction.


def _negate(fact: Fact, rng: np.random.Generator) -> Edit | None:
    return Edit(replace(fact, negated=not fact.negated))


def _oppose_verb(fact: Fact, rng: np.random.Generator) -> Edit | None:
    if fact.verb not in lexicon.INCOMPATIBLE or fact.negated:
        return None
    return Edit(replace(fact, verb=choose(rng, lexicon.INCOMPATIBLE[fact.verb])))


def _oppose_adjective(fact: Fact, rng: np.random.Generator) -> Edit | None:
    role = _choose_if_any(rng, [role for role in _common_nouns(fact) if getattr(fact, role).adjective])
    if role is None or fact.negated:
        return None
    opposite = choose(rng, lexicon.INCOMPATIBLE[getattr(fact, role).adjective])
    return Edit(_with_adjective(fact, role, opposite), role)


def _oppose_adverb(fact: Fact, rng: np.random.Generator) -> Edit | None:
    if fact.adverb not in lexicon.INCOMPATIBLE or fact.negated:
        return None
    return Edit(replace(fact, adverb=choose(rng, lexicon.INCOMPATIBLE[fact.adverb])), "adverb")


def _swap_participants(fact: Fact, rng: np.random.Generator) -> Edit | None:
    if not fact.object or fact.object.head in INANIMATE_NOUNS or fact.negated:
        return None
    return Edit(replace(fact, subject=fact.object, object=fact.subject))


# Edits whose result is neutral.


def _add_modifier(fact: Fact, rng: np.random.Generator) -> Edit | None:
    modifier = _choose_if_any(rng, [name for name in MODIFIERS if not getattr(fact, name)])
    if modifier is None or fact.negated:
        return None
    return Edit(with_parts(fact, **{modifier: draw_modifier(rng, modifier)}), modifier)


def _add_adjective(fact: Fact, rng: np.random.Generator) -> Edit | None:
    role = _choose_if_any(rng, [role for role in _common_nouns(fact) if not getattr(fact, role).adjective])
    if role is None or fact.negated:
        return None
    return Edit(_with_adjective(fact, role, choose(rng, lexicon.ADJECTIVES)), role)


def _move_adjective(fact: Fact, rng: np.random.Generator) -> Edit | None:
    roles = _common_nouns(fact)
    if len(roles) < 2 or (fact.subject.adjective is None) == (fact.object is None or fact.object.adjective is None):
        return None
    source, target = roles if fact.subject.adjective else roles[::-1]
    moved = _with_adjective(fact, target, getattr(fact, source).adjective)
    return Edit(_with_adjective(moved, source, None), target)


def _replace_participant(fact: Fact, rng: np.random.Generator) -> Edit | None:
    role = choose(rng, [role for role in PARTICIPANTS if getattr(fact, role)])
    noun: Noun = getattr(fact, role)
    pools = [pool for pool in (PEOPLE, ORGANISATIONS, ANIMATE_NOUNS, INANIMATE_NOUNS) if noun.head in pool]
    if not pools:
        return None
    other = draw_noun(rng, pools[0], adjectives=0.0)
    if other.head == noun.head:
        return None
    if other.head.endswith(".NOUN"):
        other = replace(other, determiner=noun.determiner, adjective=noun.adjective)
    return Edit(with_parts(fact, **{role: other}), role)


def _replace_circumstance(fact: Fact, rng: np.random.Generator) -> Edit | None:
    modifier = _choose_if_any(rng, [name for name in ("place", "time") if getattr(fact, name)])
    if modifier is None or fact.negated:
        return None
    while True:
        drawn = draw_modifier(rng, modifier)
        # Keep the adposition: something near the park may also be behind it. Another place or time is never entailed.
        if fact.place and isinstance(drawn, tuple):
            drawn = (fact.place[0], drawn[1])
        if drawn != getattr(fact, modifier):
            return Edit(with_parts(fact, **{modifier: drawn}), modifier)


_EDITS: dict[str, list[Callable[[Fact, np.random.Generator], Edit | None]]] = {
    # An edit that is listed twice is drawn twice as often.
    "entailment": [_keep, _keep, _generalise_noun],
    "neutral": [
        _add_modifier,
        _add_modifier,
        _add_adjective,
        _replace_participant,
        _replace_circumstance,
        _move_adjective,
    ],
    "contradiction": [_negate, _negate, _oppose_verb, _oppose_adjective, _oppose_adverb, _swap_participants],
}
