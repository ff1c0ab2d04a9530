"""Numbers and lists of names in English text."""

from collections.abc import Sequence


def count(value: int, noun: str) -> str:
    """Format a number with its noun: `1 order`, `2 orders`."""
    return f"{value} {noun}{'' if value == 1 else 's'}"


def join_words(words: Sequence[str]) -> str:
    """Join words as an English list: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
