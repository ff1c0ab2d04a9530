"""Lines of a user's own file: what kinds of tasks share when they read them. Every error names the file and line."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stiltwalk.utils.errors import InputError


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the place of every line (`<path> line <number>`) and the line without its end.

    Raises InputError if the file cannot be read or is not UTF-8.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        place = f"{path} line {number}"
        try:
            text = line.decode("utf-8").rstrip("\r")
        except UnicodeDecodeError:
            raise InputError(f"{place} is not UTF-8; save the file in that encoding") from None
        if "\0" in text:  # as in a file of UTF-16
            raise InputError(f"{place} contains a NUL character; save the file as UTF-8 text")
        yield place, text.removeprefix("\ufeff") if number == 1 else text


def split_fields(place: str, line: str, names: Sequence[str]) -> list[str]:
    """Split a line at its tabs.

    Raises InputError unless it has one non-blank field for each of `names` and no space around the last field.
    """
    fields = line.split("\t")
    if len(fields) != len(names) or not all(field.strip() for field in fields) or fields[-1] != fields[-1].strip():
        raise InputError(f"{place} is {line[:80]!r}, not {'<TAB>'.join(names)}")
    return fields


def check_labels(place: str, found: Sequence[str], labels: Mapping[str, int]) -> None:
    """Raise InputError if a label is not among the record's labels. A record without labels allows any."""
    if labels and (unknown := [label for label in found if label not in labels]):
        raise InputError(f"{place} has the label {unknown[0][:80]!r}; its record lists the labels {', '.join(labels)}")
