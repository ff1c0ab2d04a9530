"""Numbers and lists of names in English text."""

import pytest

from stiltwalk.utils.text import count, join_words


@pytest.mark.parametrize(("value", "expected"), [(0, "0 orders"), (1, "1 order"), (2, "2 orders")])
def test_a_noun_is_plural_unless_there_is_one(value, expected):
    assert count(value, "order") == expected


@pytest.mark.parametrize(
    ("words", "expected"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_words_are_joined_as_an_english_list(words, expected):
    assert join_words(words) == expected
