"""What the fuzz tests share: the same cases every time, how bad input may be refused, and files broken at random."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from stiltwalk.utils.errors import InputError


def few_or(many: int, few: int) -> Any:
    """A test of `cases`: few of them, and as a slow test many."""
    return pytest.mark.parametrize("cases", [few, pytest.param(many, marks=pytest.mark.slow)])


def fuzz(cases: int) -> Any:
    """So many cases, the same ones every time."""
    return settings(
        max_examples=cases,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def refused(*places: str) -> Iterator[list[str]]:
    """Lets an error of one line pass that names one of the places; the list holds it afterwards."""
    said: list[str] = []
    try:
        yield said
    except (InputError, SystemExit) as error:
        said.append(str(error))
        assert len(said[0].splitlines()) == 1 and said[0].isprintable() and len(said[0]) < 1000, said
        assert any(place in said[0] for place in places), (said, places)


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
def broken(draw: Any, whole: bytes, longest: int = 3) -> bytes:
    """A file with a few faults: in its lines, its bytes, its length or its encoding."""
    for _ in range(draw(st.integers(1, longest))):
        lines, place = whole.splitlines(keepends=True), draw(st.integers(0, len(whole)))
        line = draw(st.integers(0, max(0, len(lines) - 1)))
        fault = draw(st.integers(0, 8))
        if fault <= 2:
            piece = draw(st.sampled_from(INSERTS) | st.binary(max_size=3))
            whole = whole[:place] + piece + whole[place + draw(st.sampled_from([0, 0, 1])) :]
        elif fault == 3:
            whole = whole[:place]
        elif fault == 4:
            whole = b"".join(lines[:line] + lines[line + 1 :])
        elif fault == 5:
            whole = b"".join(lines[: line + 1] + lines[line:])
        elif fault == 6:
            whole = b"".join(lines[:line] + lines[line + 1 :] + lines[line : line + 1])
        elif fault == 7:
            whole = whole.replace(b"\n", b"\r\n")
        else:
            whole = draw(
                st.sampled_from([b"", b"\xef\xbb\xbf" + whole, whole.decode("utf-8", "replace").encode("utf-16-le")])
            )
    return whole
