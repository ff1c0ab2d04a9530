"""Multiple choice: sentences that may follow from a sentence, and phrases that may answer a question."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stiltwalk.miniworld.generate import lexicon
from stiltwalk.miniworld.generate.facts import (
    ADVERBS,
    ANIMATE_NOUNS,
    INANIMATE_NOUNS,
    MODIFIERS,
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
from stiltwalk.miniworld.generate.inference import LABELS, draw_hypothesis, draw_pair, entails
from stiltwalk.miniworld.generate.language import Plan, question_word
from stiltwalk.miniworld.generate.paraphrase import meaning
from stiltwalk.miniworld.generate.reading import ASKABLE_PARTS, draw_passage

Phrase = tuple[Fact, str]  # one part of a fact

PERSONS = [*PEOPLE, *lexicon.HYPONYMS["person.NOUN"]]
NON_PERSONS = [noun for noun in (*ANIMATE_NOUNS, *INANIMATE_NOUNS) if noun not in PERSONS]
MANNERS = [adverb for adverb in ADVERBS if adverb not in ("today.ADV", "tomorrow.ADV")]  # those two answer "when"
_INANIMATE_HEADS = {*INANIMATE_NOUNS, *(lexicon.HYPERNYM[noun] for noun in INANIMATE_NOUNS)}


@dataclass(frozen=True)
class MultipleChoice:
    """A prompt with candidate answers."""

    content: Any
    """Decides the split of the row."""
    prompt: list[Plan]
    answers: list[Plan] | list[Phrase]
    """The candidates, the correct one first."""


def draw_consequence(rng: np.random.Generator) -> MultipleChoice:
    """Draw a sentence, one sentence that it entails, and three that it does not entail.

    The four candidates are drawn before the premise, and any of them may become the correct one. So they reveal nothing
    about the answer on their own.
    """
    candidates = _draw_candidates(rng)
    order = [int(i) for i in rng.permutation(4)]
    while True:
        premise = _elaborate(candidates[order[0]], rng)
        if [i for i in range(4) if entails(premise, candidates[i])] == order[:1]:
            sentences: list[Plan] = [[candidates[i], lexicon.FULL_STOP] for i in order]
            return MultipleChoice(premise, [[premise, lexicon.FULL_STOP]], sentences)


def draw_answers(rng: np.random.Generator) -> MultipleChoice:
    """Draw a passage with a question, the phrase that answers it, and three phrases that fit the question word.

    The wrong phrases come from the passage as long as it has any, then from other facts.
    """
    passage = draw_passage(rng)
    assert passage.answer is not None
    word = question_word(passage.question, passage.asked)
    phrases = [(fact, part) for fact in passage.facts for part in _matching_parts(fact, word)]
    answer = (passage.facts[passage.answer], passage.asked)
    candidates = {_core(*answer): answer}
    for i in rng.permutation(len(phrases)):
        candidates.setdefault(_core(*phrases[i]), phrases[i])
    while len(candidates) < 4:
        fact = draw_fact(rng, transitive=1.0, modifiers=1.0)
        for part in _matching_parts(fact, word):
            candidates.setdefault(_core(fact, part), (fact, part))
    prompt: list[Plan] = [[fact, lexicon.FULL_STOP] for fact in passage.facts]
    prompt.append([(passage.question, passage.asked), lexicon.QUESTION_MARK])
    return MultipleChoice(passage.facts, prompt, list(candidates.values())[:4])


def draw_plausible_answers(rng: np.random.Generator) -> MultipleChoice:
    """Draw a question without a passage, and five phrases of which only one fits the question word."""
    word = choose(rng, ("who.PRON", "what.PRON", "where.ADV", "when.ADV"))
    while True:
        passage = draw_passage(rng, facts=1)
        if question_word(passage.question, passage.asked) == word:
            break
    fact = passage.facts[0]
    phrases: dict[str, Phrase] = {
        "who.PRON": (with_parts(fact, subject=draw_noun(rng, PERSONS)), "subject"),
        "what.PRON": (with_parts(fact, subject=draw_noun(rng, NON_PERSONS)), "subject"),
        "where.ADV": (with_parts(fact, place=draw_modifier(rng, "place")), "place"),
        "when.ADV": (with_parts(fact, time=draw_modifier(rng, "time")), "time"),
        "": (with_parts(fact, adverb=choose(rng, MANNERS)), "adverb"),
    }
    correct = phrases.pop(word)
    wrong = list(phrases.values())
    answers = [correct, *(wrong[int(i)] for i in rng.permutation(len(wrong)))]
    question = (passage.question, passage.asked)
    return MultipleChoice(meaning([question]), [[question, lexicon.QUESTION_MARK]], answers)


def _draw_candidates(rng: np.random.Generator) -> list[Fact]:
    """Draw four facts, each similar to another one, such that none is another one with details left out.

    Most negated facts are rejected, because only the same fact entails them. The adverb "fast" is rejected because some
    languages cannot distinguish it from the adjective.
    """
    while True:
        facts = [draw_pair(rng, "entailment")[1]]
        for _ in range(30):
            fact = draw_hypothesis(rng, choose(rng, facts), choose(rng, LABELS[1:]))
            if not fact or fact.subject.head in _INANIMATE_HEADS or (fact.negated and rng.random() < 0.7):
                continue
            if not any(_differ_in_detail_only(fact, other) for other in facts):
                facts.append(fact)
            if len(facts) == 4 and all(fact.adverb != "fast.ADV" for fact in facts):
                return facts


def _differ_in_detail_only(one: Fact, other: Fact) -> bool:
    """Whether one fact is the other with fewer details. Negation does not count if both are negated."""
    if one.negated and other.negated:
        one, other = replace(one, negated=False), replace(other, negated=False)
    return entails(one, other) or entails(other, one)


def _elaborate(fact: Fact, rng: np.random.Generator) -> Fact:
    """Draw a fact that entails this one, usually with more details. A negated fact gets none: it would claim less."""
    if fact.negated:
        return fact
    for modifier in MODIFIERS:
        if not getattr(fact, modifier) and rng.random() < 0.5:
            fact = with_parts(fact, **{modifier: draw_modifier(rng, modifier)})
    for role in PARTICIPANTS:
        noun = getattr(fact, role)
        if noun and noun.head in lexicon.HYPONYMS:
            noun = replace(noun, head=choose(rng, lexicon.HYPONYMS[noun.head]))
        if noun and noun.determiner and not noun.adjective and rng.random() < 0.5:
            noun = replace(noun, adjective=choose(rng, lexicon.ADJECTIVES))
        fact = with_parts(fact, **{role: noun})
    return fact


def _matching_parts(fact: Fact, word: str) -> list[str]:
    """Return the parts of a fact that a question word can ask for."""
    return [part for part in ASKABLE_PARTS if getattr(fact, part) and question_word(fact, part) == word]


def _core(fact: Fact, part: str) -> Any:
    """Return a part without articles and adjectives, so that no candidate is another one with fewer details."""
    value = getattr(fact, part)
    return value.head if isinstance(value, Noun) else (value[0], value[1].head) if part == "place" else value
