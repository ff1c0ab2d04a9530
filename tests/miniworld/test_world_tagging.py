"""Tagged sentences: parts of speech, names and CCG categories."""

from typing import Any

import pytest

from miniworld.generated import LANGUAGES, names_of, read_rows
from stiltwalk.miniworld.generate import lexicon

UNIVERSAL_TAGS = set(
    "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split()  # noqa: SIM905
)


def tags_by_word(rows: list[dict[str, Any]]) -> dict[str, set[str]]:
    tags: dict[str, set[str]] = {}
    for row in rows:
        for token, tag in zip(row["tokens"], row["tags"], strict=True):
            tags.setdefault(token.lower(), set()).add(tag)
    return tags


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_token_has_one_universal_tag(language: str) -> None:
    for row in read_rows("udpos", language=language).to_pylist():
        assert len(row["tokens"]) == len(row["tags"])
        assert set(row["tags"]) <= UNIVERSAL_TAGS
        for token, tag in zip(row["tokens"], row["tags"], strict=True):
            assert (tag == "PUNCT") == (token in ".,?!")
            assert (tag == "NUM") == token.isdigit()


def test_a_lexicon_is_not_enough_to_tag() -> None:
    tags = tags_by_word(read_rows("udpos", size=400).to_pylist())
    assert sum(len(word_tags) > 1 for word_tags in tags.values()) >= 8
    assert {"NOUN", "VERB"} <= tags["cook"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_are_whole_and_only_their_context_reveals_their_type(language: str) -> None:
    known = {name.split(".")[0]: kind for kind, names in lexicon.NAMES.items() for name in names}
    rows = read_rows("panx", language=language, size=300).to_pylist()
    assert all(len(row["tokens"]) == len(row["tags"]) and names_of(row) for row in rows)
    names = [name for row in rows for name in names_of(row)]
    for name, kind in names:
        assert all(known.get(word, kind) == kind for word in name.split())
    assert {kind for _, kind in names} == set(lexicon.NAMES)
    is_unknown = [word not in known for name, _ in names for word in name.split()]
    assert 0.25 < sum(is_unknown) / len(is_unknown) < 0.35
    assert 0.25 < sum(" " in name for name, _ in names) / len(names) < 0.35
    types = {word: {tag[2:] for tag in tags} for word, tags in tags_by_word(rows).items()}
    assert all("PER" in types[name] for name in ("will", "may", "mark", "rose"))
    if language == "en":
        assert types["will"] == types["may"] == {"PER", ""}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_english_categories(language: str) -> None:
    english = {tag for row in read_rows("ccg", size=300).to_pylist() for tag in row["tags"]}
    assert len(english) == 16
    for row in read_rows("ccg", language=language).to_pylist():
        assert len(row["tokens"]) == len(row["tags"])
        assert set(row["tags"]) <= english


def test_the_category_of_a_verb_fits_what_follows() -> None:
    categories: dict[str, set[str]] = {}
    for row in read_rows("ccg", size=400).to_pylist():
        for token, tag, following in zip(row["tokens"], row["tags"], row["tags"][1:], strict=False):
            if tag.strip("(").startswith("S[b]"):
                categories.setdefault(token, set()).add(tag)
                is_object, is_clause = following in ("NP", "NP/N"), following.startswith("S[em]")
                assert tag.endswith("/NP" if is_object else "/S[em]" if is_clause else r"\NP")
            if tag.startswith("(S[dcl]"):
                assert following.startswith(("S[b]", "(S[b]")) or following == r"(S\NP)\(S\NP)"
            if tag in ("NP/N", "N/N"):
                assert following in ("N", "N/N")
    assert sum(len(verb_categories) > 1 for verb_categories in categories.values()) >= 10
