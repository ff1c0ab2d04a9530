"""Unlabelled text in all languages of the mini world, on which its encoder is pretrained."""

from typing import Any

import numpy as np

from stiltwalk.miniworld.generate import lexicon
from stiltwalk.miniworld.generate.inference import draw_pair
from stiltwalk.miniworld.generate.language import Language, Plan, read_languages, render
from stiltwalk.miniworld.generate.reading import draw_passage
from stiltwalk.miniworld.generate.tagging import draw_sentence

Document = list[list[Plan]]  # two texts of one sentence or more


def vocabulary(world: dict[str, Any]) -> list[str]:
    """Return every lower-case word of every language once, with names, numbers and punctuation marks."""
    names = [name for names in lexicon.NAMES.values() for name in names]
    shared = [lexicon.split_concept(word)[0].lower() for word in (*lexicon.PUNCTUATION, *lexicon.NUMBERS, *names)]
    forms = [form for language in read_languages(world) for form in language.forms.values()]
    return list(dict.fromkeys([*shared, *forms]))


def lower_case_words(text: list[Plan], language: Language) -> list[str]:
    """Put a text into a language and return its words in lower case."""
    return [form.lower() for plan in text for form, _ in render(plan, language)]


def language_shares(languages: list[Language]) -> np.ndarray:
    """Return each language's share of the pretraining text."""
    resources = np.array([language.resource for language in languages])
    return resources / resources.sum()


def draw_any_sentence(rng: np.random.Generator) -> Plan:
    """Draw a sentence of any kind that the tasks use."""
    kind = rng.random()
    if kind < 0.4:
        return draw_sentence(rng, unknown=0.0)
    if kind < 0.7:
        return [draw_pair(rng, "entailment")[1], lexicon.FULL_STOP]
    passage = draw_passage(rng, facts=1)
    return [(passage.question, passage.asked), lexicon.QUESTION_MARK]


def draw_document(rng: np.random.Generator) -> Document:
    """Draw two texts in a random order, one of which repeats, generalises or asks about part of the other."""
    kind = rng.random()
    texts: Document
    if kind < 0.15:
        texts = [[draw_sentence(rng)]] * 2
    elif kind < 0.6:
        texts = [[[fact, lexicon.FULL_STOP]] for fact in draw_pair(rng, "entailment")]
    else:
        passage = draw_passage(rng, facts=int(rng.integers(1, 4)))
        is_question = kind < 0.8
        repetition: Plan = (
            [(passage.question, passage.asked), lexicon.QUESTION_MARK]
            if is_question
            else [passage.question, lexicon.FULL_STOP]
        )
        texts = [[[fact, lexicon.FULL_STOP] for fact in passage.facts], [repetition]]
    return texts if rng.random() < 0.5 else texts[::-1]
