"""Numbers as the report prints them, with a true minus sign, and an en dash for a missing value."""

from collections.abc import Mapping
from typing import Any

MISSING = "–"


def format_number(value: float | None, digits: int = 1) -> str:
    """Return the value with a fixed number of decimals."""
    return MISSING if value is None else f"{value:.{digits}f}".replace("-", "−")


def format_signed(value: float | None, digits: int = 2) -> str:
    """Return the value with its sign; a value that rounds to zero has none."""
    if value is None:
        return MISSING
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text if any(digit in text for digit in "123456789") else text[1:]


def format_percent(share: float | None) -> str:
    """Return a share between 0 and 1 as a percentage."""
    return MISSING if share is None else f"{100 * share:.0f}\u00a0%"


def format_p(p: float | None) -> str:
    """Return `p = 0.031` or `p < 0.001`, with spaces that do not break."""
    value = format_p_cell(p)
    return f"p\u00a0{value}" if value.startswith("<") else f"p\u00a0=\u00a0{value}"


def format_p_cell(p: float | None) -> str:
    """Return `0.031` or `< 0.001`, for a column of p values."""
    if p is None:
        return MISSING
    return "<\u00a00.001" if p < 0.001 else f"{p:.{3 if p < 0.1 else 2}f}"


def format_half_width(estimate: Mapping[str, Any]) -> str:
    """Return half the width of an interval that is symmetric about its mean, as `±1.2`; empty without an interval."""
    return "" if estimate.get("low") is None else f"±{(estimate['high'] - estimate['low']) / 2:.1f}"


def format_interval(estimate: Mapping[str, Any]) -> str:
    """Return the interval of a difference in brackets; empty without an interval."""
    low, high = estimate.get("low"), estimate.get("high")
    return "" if low is None else f"[{format_signed(low)}, {format_signed(high)}]"


def excludes_zero(estimate: Mapping[str, Any]) -> bool:
    """Whether there is an interval and zero is outside it."""
    return estimate.get("low") is not None and (estimate["low"] > 0 or estimate["high"] < 0)
