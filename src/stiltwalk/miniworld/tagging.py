"""Sentences for part-of-speech tagging: facts joined, reported, addressed to somebody; pronouns and unknown words."""

from dataclasses import replace

import numpy as np

from stiltwalk.miniworld import lexicon
from stiltwalk.miniworld.facts import PEOPLE, Fact, Noun, change, choose, draw_fact, draw_subject
from stiltwalk.miniworld.language import Plan

PRONOUNS = ("she.PRON", "he.PRON", "it.PRON", "they.PRON", "this.PRON")


def draw_sentence(rng: np.random.Generator, unknown: float = 0.08) -> Plan:
    """A sentence; `unknown` is the probability that the head of a noun phrase or a verb is a word nobody has seen."""
    plan: Plan = [_clause(rng, unknown)]
    kind = rng.random()
    if kind < 0.15:
        plan = [*plan, choose(rng, lexicon.WORDS["CCONJ"]), _clause(rng, unknown)]
    elif kind < 0.3:
        plan = [*plan, choose(rng, ["because.SCONJ", "if.SCONJ"]), _clause(rng, unknown)]
    elif kind < 0.45:
        speaker = Fact(
            _pronoun_or(rng), choose(rng, ["will.AUX", "did.AUX", "can.AUX"]), choose(rng, lexicon.WORDS["report"])
        )
        plan = [speaker, "that.SCONJ", *plan]
    elif kind < 0.6:
        interjection = choose(rng, lexicon.WORDS["INTJ"])
        plan = [interjection, *([choose(rng, PEOPLE)] if rng.random() < 0.4 else []), ",.PUNCT", *plan]
    return [*plan, "!.PUNCT" if rng.random() < 0.1 else lexicon.STOP]


def _pronoun_or(rng: np.random.Generator) -> Noun:
    return Noun(choose(rng, PRONOUNS)) if rng.random() < 0.4 else draw_subject(rng)


def _clause(rng: np.random.Generator, unknown: float) -> Fact:
    fact = replace(draw_fact(rng, modifiers=0.35), negated=bool(rng.random() < 0.2))
    if rng.random() < 0.3:
        fact = replace(fact, subject=Noun(choose(rng, PRONOUNS)))
    changes: dict[str, object] = {}
    for role in ("subject", "object"):
        noun = getattr(fact, role)
        if noun and rng.random() < unknown:
            changes[role] = replace(noun, head=f"{nonce(rng)}.{noun.head.rpartition('.')[2].replace('PRON', 'PROPN')}")
    if rng.random() < unknown:
        changes["verb"] = f"{nonce(rng)}.VERB"
    return change(fact, **changes)


def nonce(rng: np.random.Generator) -> str:
    """A word of no language here: a letter that no word form has tells it from them all."""
    return (
        choose(rng, list("bdgklmprst"))
        + choose(rng, list("aeiou"))
        + "x"
        + choose(rng, list("aeiou"))
        + choose(rng, list("lmnrst"))
    )
