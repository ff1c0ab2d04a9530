"""Values that XTREME's evaluate.py scores although they cannot be meant: each function yields one warning per file.

Every function takes (label file, prediction file, language). Scores stay as XTREME computes them.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from stiltwalk.scoring.files import read_text_lines

Check = Callable[[Path, Path, str], Iterator[str]]


def labels_among(*labels: str) -> Check:
    """Return a check for lines that are not one of the task's labels."""

    def check(gold: Path, predictions: Path, language: str) -> Iterator[str]:
        for path in (gold, predictions):
            bad = {number: line for number, line in _lines(path) if line and line not in labels}
            yield from _describe(path, bad, f"the labels are {', '.join(labels)}")

    return check


def rows_of_corpus(gold: Path, predictions: Path, language: str) -> Iterator[str]:
    """Check that every line is the number of a row, counted from 0.

    There are as many rows as labels, unless the labels are an excerpt, as in XTREME's mock submission.
    """
    labels = read_text_lines(gold)
    count = len(labels)
    # Labels counted from 1 by mistake have the maximum `count`. Only a label above it shows an excerpt.
    is_excerpt = any(_is_row(line) and int(line) > count for line in labels)
    upper_bound = "" if is_excerpt else f", here to {count - 1}"
    for path in (gold, predictions):
        rows = _lines(path)
        bad = {n: line for n, line in rows if not _is_row(line) or not (is_excerpt or int(line) < count)}
        yield from _describe(path, bad, f"rows are whole numbers, counted from 0{upper_bound}")


def pairs_of_ids(gold: Path, predictions: Path, language: str) -> Iterator[str]:
    """Check that every line is an id of the language and one of English, with only a tab between them."""
    for path in (gold, predictions):
        bad = {}
        for number, line in _lines(path):
            source, _, target = line.partition("\t")
            has_blanks = (source, target) != (source.strip(), target.strip())
            if has_blanks or not source.startswith(f"{language}-") or not target.startswith("en-"):
                bad[number] = line
        yield from _describe(path, bad, f"a pair is {language}-<number><TAB>en-<number>")


def no_check(gold: Path, predictions: Path, language: str) -> Iterator[str]:
    """Check nothing: an answer to a question may be any text."""
    yield from ()


def _is_row(line: str) -> bool:
    return re.fullmatch("0|[1-9][0-9]{0,8}", line) is not None


def _lines(path: Path) -> list[tuple[int, str]]:
    return list(enumerate(read_text_lines(path), start=1))


def _describe(path: Path, bad: dict[int, str], rule: str) -> Iterator[str]:
    """Yield a warning about the first of the bad lines, by line number; nothing if there is none."""
    if bad:
        number, line = next(iter(bad.items()))
        more = f" ({len(bad):,} such lines)" if len(bad) > 1 else ""
        yield f"{path} line {number} is {line[:80]!a}{more}; {rule}; it is scored as it is"
