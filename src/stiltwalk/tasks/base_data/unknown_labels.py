"""The message about a label that a task's record does not list."""

import unicodedata
from collections.abc import Sequence


def describe_unknown_label(label: object, labels: Sequence[str], name: str = "") -> str:
    """Return `the label ...; its record lists ...` with a remedy where two spellings only look the same.

    labels: of the record. name: what a data set calls a label that it numbers.
    """
    shown = f"{label!r} ({name})" if name else repr(label)[:80]
    text = str(name or label)
    if _plain(text) in map(_plain, labels):
        return (
            f"the label {ascii(text)[:80]}; its record lists {', '.join(map(ascii, labels))}: the same letters in "
            "another Unicode form; write both in NFC, without invisible characters"
        )
    return f"the label {shown}; its record lists the labels {', '.join(labels)}"


def _plain(text: str) -> str:
    """Return a text in one Unicode form, without characters that cannot be seen."""
    visible = (
        character for character in unicodedata.normalize("NFKC", text) if unicodedata.category(character) != "Cf"
    )
    return "".join(visible).strip()
