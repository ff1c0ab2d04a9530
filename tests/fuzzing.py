"""What the fuzz tests share: reproducible cases, how bad input may be refused, and files with random faults."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from stiltwalk.utils.errors import InputError


def case_counts(slow: int, fast: int) -> Any:
    """Parametrize a test with `cases`: few of them, and many as a slow test."""
    return pytest.mark.parametrize("cases", [fast, pytest.param(slow, marks=pytest.mark.slow)])


def fuzz(cases: int) -> Any:
    """Return settings for this many cases, the same ones every time."""
    return settings(
        max_examples=cases,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def refused(*places: str) -> Iterator[list[str]]:
    """Accept an error of one line that names one of the places; the list then holds its message."""
    messages: list[str] = []
    try:
        yield messages
    except (InputError, SystemExit) as error:
        message = str(error)
        messages.append(message)
        assert len(message.splitlines()) == 1 and message.isprintable() and len(message) < 1000, message
        assert any(place in message for place in places), (message, places)


INSERTS = [
    b"\xff",
    b"\xc3",
    b"\0",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
    b"\n\n",
    b"\t",
    b" ",
    b"NaN",
    b"{",
    b'"',
    b"\\",
    b"]",
]
INSERTS += [text.encode() for text in ("\u200b", "\u2028", "\x85", "שלום", "\u202e", "é", "x\ty\tz\n")]


@st.composite
def broken(draw: Any, content: bytes, most_faults: int = 3) -> bytes:
    """Draw a file with a few faults: in its lines, its bytes, its length or its encoding."""
    for _ in range(draw(st.integers(1, most_faults))):
        lines, place = content.splitlines(keepends=True), draw(st.integers(0, len(content)))
        line = draw(st.integers(0, max(0, len(lines) - 1)))
        fault = draw(st.integers(0, 8))
        if fault <= 2:
            piece = draw(st.sampled_from(INSERTS) | st.binary(max_size=3))
            content = content[:place] + piece + content[place + draw(st.sampled_from([0, 0, 1])) :]
        elif fault == 3:
            content = content[:place]
        elif fault == 4:
            content = b"".join(lines[:line] + lines[line + 1 :])
        elif fault == 5:
            content = b"".join(lines[: line + 1] + lines[line:])
        elif fault == 6:
            content = b"".join(lines[:line] + lines[line + 1 :] + lines[line : line + 1])
        elif fault == 7:
            content = content.replace(b"\n", b"\r\n")
        else:
            content = draw(st.sampled_from([b"", b"\xef\xbb\xbf" + content, to_utf16(content)]))
    return content


def to_utf16(content: bytes) -> bytes:
    """Encode UTF-8 as UTF-16; what is not UTF-8 becomes a replacement character."""
    return content.decode("utf-8", "replace").encode("utf-16-le")
