"""Text without labels in all languages of the mini world: what its encoder is pretrained on."""

from typing import Any

import numpy as np

from stiltwalk.miniworld import lexicon
from stiltwalk.miniworld.inference import draw_pair
from stiltwalk.miniworld.language import Language, Plan, read_language, say
from stiltwalk.miniworld.reading import draw_passage
from stiltwalk.miniworld.tagging import draw_sentence


def read_languages(world: dict[str, Any]) -> list[Language]:
    """English and every language of the `world` section."""
    return [read_language(world, code) for code in ("en", *world["languages"])]


def vocabulary(world: dict[str, Any]) -> list[str]:
    """Every word of every language in lower case, names, numbers and punctuation marks too; each once."""
    names = [name for names in lexicon.NAMES.values() for name in names]
    shared = [word.rpartition(".")[0].lower() for word in (*lexicon.PUNCTUATION, *lexicon.NUMBERS, *names)]
    forms = [form for language in read_languages(world) for form in language.forms.values()]
    return list(dict.fromkeys([*shared, *forms]))


def words(plans: list[Plan], language: Language) -> list[str]:
    """The words of sentences in a language, in lower case."""
    return [form.lower() for plan in plans for form, _ in say(plan, language)]


def draw_plan(rng: np.random.Generator) -> Plan:
    """A sentence of any kind that the tasks have."""
    kind = rng.random()
    if kind < 0.4:
        return draw_sentence(rng, unknown=0.0)
    if kind < 0.7:
        return [draw_pair(rng, "entailment")[1], lexicon.STOP]
    _, question, asked, _ = draw_passage(rng, facts=1)
    return [(question, asked), "?.PUNCT"]


def draw_document(rng: np.random.Generator) -> list[list[Plan]]:
    """Two texts, one of which says again, asks, or says with less detail, part of what the other says."""
    kind = rng.random()
    if kind < 0.15:
        texts = [[draw_sentence(rng)]] * 2
    elif kind < 0.6:
        texts = [[[fact, lexicon.STOP]] for fact in draw_pair(rng, "entailment")]
    else:
        facts, question, asked, _ = draw_passage(rng, facts=int(rng.integers(1, 4)))
        again: Plan = [(question, asked), "?.PUNCT"] if kind < 0.8 else [question, lexicon.STOP]
        texts = [[[fact, lexicon.STOP] for fact in facts], [again]]
    return texts if rng.random() < 0.5 else texts[::-1]
