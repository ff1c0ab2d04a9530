"""Pairs of sentences and questions: their labels are right, and superficial features do not reveal them."""

from collections import Counter

from miniworld.generated import LANGUAGES, WORLD, content_words, is_contained, read_rows
from stiltwalk.miniworld.generate import lexicon
from stiltwalk.miniworld.generate.language import read_language


def test_statements_mean_the_same_only_if_they_differ_in_detail() -> None:
    different_with_same_words = 0
    for row in read_rows("pawsx", size=400).to_pylist():
        short, long = sorted((content_words(row["text_a"]), content_words(row["text_b"])), key=len)
        assert is_contained(short, long) == (row["label"] == "1"), row
        different_with_same_words += row["label"] == "0" and not Counter(short) - Counter(long)
    assert different_with_same_words > 40


def test_duplicate_questions_differ_in_detail_only() -> None:
    counts: Counter[tuple[str, bool]] = Counter()
    for row in read_rows("qqp", size=400).to_pylist():
        first, second = content_words(row["text_a"]), content_words(row["text_b"])
        assert first != second
        assert (is_contained(first, second) or is_contained(second, first)) == (row["label"] == "duplicate"), row
        counts[row["label"], len(first) < len(second)] += 1
    assert min(counts.values()) > 60


def test_translated_pairs_are_in_every_language_except_english() -> None:
    n = len(LANGUAGES) - 1
    texts = read_rows("mnli_translated", "train", size=3 * n)["text_a"].to_pylist()
    names = {name.partition(".")[0].lower() for kind in lexicon.NAMES.values() for name in kind}
    for number, text in enumerate(texts):
        language = read_language(WORLD, LANGUAGES[1 + number // 3])
        words = {word for word in text.rstrip(".").lower().split() if not word.isdigit()}
        assert words - names <= {form.lower() for form in language.forms.values()}, (language.code, text)
