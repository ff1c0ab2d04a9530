"""Text in many languages: comparable corpora, translated sentences, and the documents of the language model."""

from collections import Counter

import pytest

from miniworld.generated import LANGUAGES, WORLD, content_words, read_corpora, read_rows
from stiltwalk.miniworld.generate.language import read_languages
from stiltwalk.miniworld.generate.source import read_pairs


def test_the_languages_of_documents_have_their_shares_of_the_pretraining_text() -> None:
    languages = read_languages(WORLD)
    vocabularies = [set(language.forms.values()) for language in languages]
    counts: Counter[str] = Counter()
    for text in read_rows("mlm", "train", size=2000)["text"].to_pylist():
        sentences = text.replace("?", ".").replace("!", ".").split(". ")
        assert len(set(sentences)) == len(sentences)
        known = [sum(word in vocabulary for word in content_words(text)) for vocabulary in vocabularies]
        counts[languages[known.index(max(known))].code] += 1
    shares = {language.code: language.resource / sum(other.resource for other in languages) for language in languages}
    for code, share in shares.items():
        assert abs(counts[code] / 2000 - share) < 0.03, code


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_corpora_have_distinct_sentences_and_contain_the_gold_pairs(language: str) -> None:
    sides, gold = read_corpora(language)
    assert len(gold) == 30 and len(sides["source"]) == len(sides["target"]) == 150
    for number, (side, code) in enumerate((("source", language), ("target", "en"))):
        assert list(sides[side]) == [f"{code}-{i:09d}" for i in range(1, 151)]
        assert len(set(sides[side].values())) == 150
        ids = [pair[number] for pair in gold]
        assert len(set(ids)) == 30 and set(ids) <= set(sides[side])
        # Neither the order of the sentences nor their ids reveal which ones have a translation.
        places = [list(sides[side]).index(sentence_id) for sentence_id in ids]
        assert 50 < sum(places) / 30 < 100 and sorted(places) != list(range(min(places), max(places) + 1))
    sources, targets = ([int(sentence_id.rpartition("-")[2]) for sentence_id in ids] for ids in zip(*gold, strict=True))
    assert sources != targets


def test_corpora_of_gold_pairs_have_no_other_sentences() -> None:
    record = {"kind": "mining", "sample": {"test": 20, "seed": 0}, "world": WORLD}
    table, gold, _ = read_pairs("bucc_goldpairs", record, "test", "qab")
    assert len(table) == 40 and len(gold) == 20
    assert {sentence_id for pair in gold for sentence_id in pair} == set(table["id"].to_pylist())


def test_only_gold_pairs_are_translations_and_many_other_sentences_are_similar() -> None:
    # The first language has the word order of English, so that a sentence can be translated word by word.
    english_words: dict[str, set[str]] = {}
    for concept, form in read_languages(WORLD)[1].forms.items():
        english_words.setdefault(form, set()).add(concept.split(".")[0])
    sides, gold = read_corpora("qaa", size=100)

    def translations(text: str) -> set[str]:
        candidates = [""]
        for word in text[:-1].split():
            options = english_words.get(word, set()) | english_words.get(word.lower(), set()) or {word}
            candidates = [f"{start} {option}" for start in candidates for option in options]
        return {f"{candidate.strip()}.".lower() for candidate in candidates}

    targets = {text.lower(): target_id for target_id, text in sides["target"].items()}
    pairs = {
        (source_id, targets[translation])
        for source_id, text in sides["source"].items()
        for translation in translations(text)
        if translation in targets
    }
    assert pairs == set(gold)
    gold_ids = {target_id for _, target_id in gold}
    paired = [set(content_words(sides["target"][target_id])) for target_id in gold_ids]
    unpaired = [set(content_words(text)) for target_id, text in sides["target"].items() if target_id not in gold_ids]
    similar = sum(any(len(words & other) >= 0.6 * len(words | other) for other in paired) for words in unpaired)
    assert similar > 0.3 * len(unpaired)


def test_translated_sentences_are_distinct_and_differ_between_languages() -> None:
    first, second = (read_rows("tatoeba", language=code, size=1000)["target"].to_pylist() for code in LANGUAGES[1:3])
    assert len(set(first)) == len(set(second)) == 1000
    assert len(set(first) & set(second)) < 100
