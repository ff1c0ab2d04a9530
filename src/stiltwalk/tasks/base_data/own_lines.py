"""Lines of a user's own file: what kinds of tasks share when they read them. Every error names the file and line."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stiltwalk.tasks.base_data.unknown_labels import describe_unknown_label
from stiltwalk.utils.errors import InputError

CSV_FIELD = re.compile(r'"(?:[^"]|"")*"')
"""A field in quotes, whose own quotes are doubled."""


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the place of every line (`<path> line <number>`) and the line without its end.

    Raises InputError if the file cannot be read, is not UTF-8 or has other line ends than LF and CR LF.
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
        if "\r" in text:  # the line ends of Mac OS before 2001, or a stray one
            raise InputError(f"{place} contains a carriage return; save the file with LF (\\n) at the end of each line")
        yield place, text.removeprefix("\ufeff") if number == 1 else text


def refuse_csv_quotes(lines: Sequence[tuple[str, str]]) -> None:
    """Raise InputError if fields have CSV's quotes, which would stay in the text.

    It is certain of a quoted field with a doubled quote inside, and of a column in which every field is quoted.
    """
    remedy = "save the file without them (csv.QUOTE_NONE, or quoting=3 of pandas)"
    always: set[int] | None = None
    for place, line in lines:
        quoted = [column for column, field in enumerate(line.split("\t")) if CSV_FIELD.fullmatch(field)]
        for column in quoted:
            if '""' in line.split("\t")[column][1:-1]:
                raise InputError(f"{place} has CSV's quotes around field {column + 1}; {remedy}")
        always = set(quoted) if always is None else always & set(quoted)
    if always and len(lines) > 1:
        raise InputError(f"{lines[0][0]}, as every line, has CSV's quotes around field {min(always) + 1}; {remedy}")


def split_fields(place: str, line: str, names: Sequence[str], blanks: str | None = None) -> list[str]:
    """Split a line at its tabs.

    blanks: the characters that do not make a field; None for all white space.
    Raises InputError unless it has one non-blank field for each of `names` and no white space around the last field.
    """
    fields = line.split("\t")
    are_blank = not all(field.strip(blanks) for field in fields)
    if len(fields) != len(names) or are_blank or fields[-1] != fields[-1].strip():
        raise InputError(f"{place} is {line[:80]!r}, not {'<TAB>'.join(names)}")
    return fields


def check_labels(place: str, found: Sequence[str], labels: Mapping[str, int]) -> None:
    """Raise InputError if a label is not among the record's labels. A record without labels allows any."""
    if labels and (unknown := [label for label in found if label not in labels]):
        raise InputError(f"{place} has {describe_unknown_label(unknown[0], list(labels))}")
