"""Multiple choice: sentences that may follow from a sentence, phrases that may answer a question."""

from dataclasses import replace
from typing import Any

import numpy as np

from stiltwalk.miniworld import lexicon
from stiltwalk.miniworld.facts import (
    ADVERBS,
    BEINGS,
    DRAW,
    MODIFIERS,
    PEOPLE,
    THINGS,
    Fact,
    Noun,
    change,
    choose,
    draw_fact,
    draw_noun,
)
from stiltwalk.miniworld.inference import LABELS, ROLES, draw_hypothesis, draw_pair, entails
from stiltwalk.miniworld.language import Plan, speak
from stiltwalk.miniworld.paraphrase import CORE, meaning
from stiltwalk.miniworld.reading import ASKED, draw_passage

Phrase = tuple[Fact, str]  # a part of a fact
# What its split goes by, the sentences of the prompt, and the answers (sentences or phrases), the right one first.
Choice = tuple[Any, list[Plan], list[Plan] | list[Phrase]]


def draw_consequence(rng: np.random.Generator) -> Choice:
    """A sentence, another that it entails and three that it does not (neutral ones or contradictions).

    The four come first and any of them may be the right one, so that they alone tell nothing.
    """
    four = _draw_rivals(rng)
    order = [int(i) for i in rng.permutation(4)]
    while True:
        premise = _elaborate(four[order[0]], rng)
        if [i for i in range(4) if entails(premise, four[i])] == order[:1]:
            sentences: list[Plan] = [[four[i], lexicon.STOP] for i in order]
            return premise, [[premise, lexicon.STOP]], sentences


def _draw_rivals(rng: np.random.Generator) -> list[Fact]:
    """Four facts of which each is near another one, and none is another with less detail.

    Denials are held back, as they only follow from themselves. "Fast" is no adverb here: some languages could not tell
    it from the adjective.
    """
    while True:
        found = [draw_pair(rng, "entailment")[1]]
        for _ in range(30):
            near = draw_hypothesis(rng, choose(rng, found), choose(rng, LABELS[1:]))
            if not near or near.subject.head in LIFELESS or (near.negated and rng.random() < 0.7):
                continue
            if not any(_more_or_less(near, fact) for fact in found):
                found.append(near)
            if len(found) == 4 and all(fact.adverb != "fast.ADV" for fact in found):
                return found


def _more_or_less(one: Fact, other: Fact) -> bool:
    """Whether one fact is the other with less detail; two denials too, though which of them follows may be disputed."""
    if one.negated and other.negated:
        one, other = replace(one, negated=False), replace(other, negated=False)
    return entails(one, other) or entails(other, one)


def _elaborate(fact: Fact, rng: np.random.Generator) -> Fact:
    """A fact that entails this one, and mostly says more; a denial would say less then, and stays as it is."""
    if fact.negated:
        return fact
    for part in MODIFIERS:
        if not getattr(fact, part) and rng.random() < 0.5:
            fact = change(fact, **{part: DRAW[part](rng)})
    for role in ROLES:
        noun = getattr(fact, role)
        if noun and noun.head in lexicon.HYPONYMS:
            noun = replace(noun, head=choose(rng, lexicon.HYPONYMS[noun.head]))
        if noun and noun.determiner and not noun.adjective and rng.random() < 0.5:
            noun = replace(noun, adjective=choose(rng, lexicon.ADJECTIVES))
        fact = change(fact, **{role: noun})
    return fact


def draw_answers(rng: np.random.Generator) -> Choice:
    """A passage with a question, the phrase that answers it, and three like it: the passage's as far as they go."""
    facts, question, asked, place = draw_passage(rng)
    wanted = _question_word(question, asked)
    passage = [(fact, role) for fact in facts for role in _parts(fact, wanted)]
    found = {_core(facts[place], asked): (facts[place], asked)}
    for i in rng.permutation(len(passage)):
        found.setdefault(_core(*passage[i]), passage[i])
    while len(found) < 4:
        fact = draw_fact(rng, transitive=1.0, modifiers=1.0)
        for role in _parts(fact, wanted):
            found.setdefault(_core(fact, role), (fact, role))
    prompt: list[Plan] = [[fact, lexicon.STOP] for fact in facts]
    return facts, [*prompt, [(question, asked), "?.PUNCT"]], list(found.values())[:4]


def draw_sensible(rng: np.random.Generator) -> Choice:
    """A question without a passage and five phrases, of which one could be an answer to that question word."""
    wanted = choose(rng, ("who.PRON", "what.PRON", "where.ADV", "when.ADV"))
    while True:
        (fact,), question, asked, _ = draw_passage(rng, facts=1)
        if _question_word(question, asked) == wanted:
            break
    phrases: dict[str, Phrase] = {
        "who.PRON": (change(fact, subject=draw_noun(rng, PERSONS)), "subject"),
        "what.PRON": (change(fact, subject=draw_noun(rng, OTHERS)), "subject"),
        "where.ADV": (change(fact, place=DRAW["place"](rng)), "place"),
        "when.ADV": (change(fact, time=DRAW["time"](rng)), "time"),
        "": (change(fact, adverb=choose(rng, MANNERS)), "adverb"),
    }
    right = phrases.pop(wanted)
    wrong = list(phrases.values())
    answers = [right, *(wrong[int(i)] for i in rng.permutation(len(wrong)))]
    return meaning([(question, asked)]), [[(question, asked), "?.PUNCT"]], answers


LIFELESS = {*THINGS, *(lexicon.HYPERNYM[thing] for thing in THINGS)}
PERSONS = [*PEOPLE, *lexicon.HYPONYMS["person.NOUN"]]
OTHERS = [word for word in (*BEINGS, *THINGS) if word not in PERSONS]
MANNERS = [word for word in ADVERBS if word not in ("today.ADV", "tomorrow.ADV")]  # these would say when


def _question_word(fact: Fact, asked: str) -> str:
    (form, tag), *_ = dict(speak(fact, CORE, asked))[asked]
    return f"{form}.{tag}"


def _parts(fact: Fact, wanted: str) -> list[str]:
    """The parts of a fact that a question word asks for."""
    return [part for part in ASKED if getattr(fact, part) and _question_word(fact, part) == wanted]


def _core(fact: Fact, role: str) -> Any:
    """A part of a fact without articles and adjectives, lest a choice be no more than another one's lesser detail."""
    part = getattr(fact, role)
    return part.head if isinstance(part, Noun) else (part[0], part[1].head) if role == "place" else part
