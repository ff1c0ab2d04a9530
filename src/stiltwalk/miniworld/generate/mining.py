"""Bitext mining as in BUCC 2018: two comparable corpora, in which some sentences are translations of each other."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stiltwalk.miniworld.generate import lexicon
from stiltwalk.miniworld.generate.facts import Fact, assign_split, draw_fact
from stiltwalk.miniworld.generate.inference import draw_similar_facts
from stiltwalk.miniworld.generate.language import Language, render_text


@dataclass(frozen=True)
class ComparableCorpora:
    """Sentences by their ids, in the order of the ids, and the pairs of ids (source, target) that are translations."""

    source: dict[str, str]
    target: dict[str, str]
    gold: list[tuple[str, str]]


class _SentencePool:
    """Facts of one split and their sentences in two languages.

    No sentence of either language occurs twice, so that no two sentences are translations of each other by chance.
    """

    def __init__(self, split: str, languages: tuple[Language, Language]) -> None:
        self.split, self.languages = split, languages
        self.facts: list[Fact] = []
        self.sentences: list[tuple[str, str]] = []
        self._used: tuple[set[str], set[str]] = (set(), set())

    def __len__(self) -> int:
        return len(self.facts)

    def add(self, facts: Iterable[Fact]) -> None:
        """Add those facts that belong to the split and whose sentences are new in both languages."""
        for fact in facts:
            if assign_split(fact) != self.split:
                continue
            source, target = (render_text([fact, lexicon.FULL_STOP], language) for language in self.languages)
            if source not in self._used[0] and target not in self._used[1]:
                self._used[0].add(source)
                self._used[1].add(target)
                self.facts.append(fact)
                self.sentences.append((source, target))

    def fill(self, size: int, rng: np.random.Generator) -> None:
        """Add random facts until there are at least `size`."""
        while len(self) < size:
            self.add([draw_fact(rng)])


def draw_corpora(
    rng: np.random.Generator, split: str, pairs: int, languages: tuple[Language, Language], distractors: int
) -> ComparableCorpora:
    """Draw sentences in two languages (source and target), of which `pairs` have a translation in the other language.

    distractors: the number of untranslated sentences for each pair, in each language. Many of them state a fact
        similar to one of a pair.
    The order of the sentences and their ids are random, so that they reveal nothing about the pairs.
    """
    pool = _SentencePool(split, languages)
    pool.fill(pairs, rng)
    if distractors:
        for fact in list(pool.facts):
            for _ in range(20):  # few of the facts drawn are in this split and new
                pool.add(draw_similar_facts(fact, rng))
        pool.fill(pairs * (1 + 2 * distractors), rng)
    paired, unpaired = pool.sentences[:pairs], pool.sentences[pairs:]
    unpaired = [unpaired[int(i)] for i in rng.permutation(len(unpaired))]
    size = pairs * distractors
    source, source_ids = _shuffle([text for text, _ in paired + unpaired[:size]], languages[0].code, rng)
    target, target_ids = _shuffle([text for _, text in paired + unpaired[size : 2 * size]], languages[1].code, rng)
    return ComparableCorpora(source, target, sorted(zip(source_ids[:pairs], target_ids[:pairs], strict=True)))


def _shuffle(sentences: list[str], code: str, rng: np.random.Generator) -> tuple[dict[str, str], list[str]]:
    """Shuffle sentences and number them: returns the sentences by id, and the id of each sentence."""
    order = rng.permutation(len(sentences))
    ids = [f"{code}-{place + 1:09d}" for place in np.argsort(order)]
    return {f"{code}-{place + 1:09d}": sentences[int(i)] for place, i in enumerate(order)}, ids
