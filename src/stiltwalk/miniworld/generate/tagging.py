"""Sentences for part-of-speech tagging: joined, reported and addressed clauses, with pronouns and unknown words."""

from dataclasses import replace

import numpy as np

from stiltwalk.miniworld.generate import lexicon
from stiltwalk.miniworld.generate.facts import (
    PARTICIPANTS,
    PEOPLE,
    Fact,
    Noun,
    choose,
    draw_fact,
    draw_subject,
    with_parts,
)
from stiltwalk.miniworld.generate.language import Plan

PRONOUNS = ("she.PRON", "he.PRON", "it.PRON", "they.PRON", "this.PRON")


def draw_sentence(rng: np.random.Generator, unknown: float = 0.08) -> Plan:
    """Draw a sentence.

    unknown: the probability that the head of a noun phrase or a verb is a word outside the vocabulary.
    """
    plan: Plan = [_draw_clause(rng, unknown)]
    kind = rng.random()
    if kind < 0.15:
        plan = [*plan, choose(rng, lexicon.WORDS["CCONJ"]), _draw_clause(rng, unknown)]
    elif kind < 0.3:
        plan = [*plan, choose(rng, ["because.SCONJ", "if.SCONJ"]), _draw_clause(rng, unknown)]
    elif kind < 0.45:
        plan = [_draw_report(rng), "that.SCONJ", *plan]
    elif kind < 0.6:
        interjection = choose(rng, lexicon.WORDS["INTJ"])
        addressee = [choose(rng, PEOPLE)] if rng.random() < 0.4 else []
        plan = [interjection, *addressee, lexicon.COMMA, *plan]
    return [*plan, lexicon.EXCLAMATION_MARK if rng.random() < 0.1 else lexicon.FULL_STOP]


def draw_nonce_word(rng: np.random.Generator) -> str:
    """Draw a word that no language has: its "x" occurs in no word form."""
    return choose(rng, "bdgklmprst") + choose(rng, "aeiou") + "x" + choose(rng, "aeiou") + choose(rng, "lmnrst")


def _draw_report(rng: np.random.Generator) -> Fact:
    """Draw the main clause of reported speech, such as "Anna did say"."""
    subject = Noun(choose(rng, PRONOUNS)) if rng.random() < 0.4 else draw_subject(rng)
    auxiliary = choose(rng, ["will.AUX", "did.AUX", "can.AUX"])
    return Fact(subject, auxiliary, choose(rng, lexicon.WORDS["report"]))


def _draw_clause(rng: np.random.Generator, unknown: float) -> Fact:
    fact = replace(draw_fact(rng, modifiers=0.35), negated=bool(rng.random() < 0.2))
    if rng.random() < 0.3:
        fact = replace(fact, subject=Noun(choose(rng, PRONOUNS)))
    changes: dict[str, Noun | str] = {}
    for role in PARTICIPANTS:
        noun = getattr(fact, role)
        if noun and rng.random() < unknown:
            tag = lexicon.split_concept(noun.head)[1].replace("PRON", "PROPN")
            changes[role] = replace(noun, head=f"{draw_nonce_word(rng)}.{tag}")
    if rng.random() < unknown:
        changes["verb"] = f"{draw_nonce_word(rng)}.VERB"
    return with_parts(fact, **changes)
