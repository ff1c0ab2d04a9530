"""Sentences in two languages of which some are translations of each other: what BUCC 2018 asks to find."""

import numpy as np

from stiltwalk.miniworld import lexicon
from stiltwalk.miniworld.facts import Fact, draw_fact, split_of
from stiltwalk.miniworld.inference import near_facts
from stiltwalk.miniworld.language import Language, say, write

DISTRACTORS = 4  # sentences without a translation for each that has one, on each side

Side = dict[str, str]  # texts by their ids, in the order of the ids


def draw_sides(
    rng: np.random.Generator,
    split: str,
    pairs: int,
    languages: tuple[Language, Language],
    distractors: int = DISTRACTORS,
) -> tuple[Side, Side, list[tuple[str, str]]]:
    """Sentences in the first language, sentences in the second, and the ids of the translations among them.

    Many of the others tell a fact near one that is told in both. No two facts are told alike in either language, so
    that nothing else is a translation by chance. Order and ids are drawn: they tell nothing.
    """
    taken: tuple[set[str], set[str]] = (set(), set())
    told: dict[Fact, tuple[str, str]] = {}

    def tell(fact: Fact) -> None:
        if split_of(fact) == split:
            one, other = (write(say([fact, lexicon.STOP], language))[0] for language in languages)
            if one not in taken[0] and other not in taken[1]:
                taken[0].add(one)
                taken[1].add(other)
                told[fact] = (one, other)

    while len(told) < pairs:
        tell(draw_fact(rng))
    for fact in list(told) if distractors else ():
        for _ in range(20):  # few of those drawn are of this split, and new
            for near in near_facts(fact, rng)[1:]:
                tell(near)
    while len(told) < pairs * (1 + 2 * distractors):
        tell(draw_fact(rng))
    texts = list(told.values())
    others = [texts[pairs + int(i)] for i in rng.permutation(len(texts) - pairs)]
    sides: list[Side] = []
    ids: list[list[str]] = []
    for number, language in enumerate(languages):
        mine = [text[number] for text in texts[:pairs] + others[number * distractors * pairs :][: distractors * pairs]]
        order = rng.permutation(len(mine))
        ids.append([f"{language.code}-{place + 1:09d}" for place in np.argsort(order)])
        sides.append({f"{language.code}-{place + 1:09d}": mine[int(i)] for place, i in enumerate(order)})
    return sides[0], sides[1], sorted(zip(ids[0][:pairs], ids[1][:pairs], strict=True))
