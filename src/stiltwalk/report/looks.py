"""What the page, the figures and the tables have in common: colours, numbers in words, names of orders."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Every colour of the figures in a light and a dark version. Figures for a paper have the light ones; in the page a
# colour is the CSS variable of its name, so that no two names may share a light colour.
COLOURS = {
    "paper": ("#fcfbf8", "#16181b"),
    "ink": ("#1d2126", "#e8e6e1"),
    "muted": ("#565e68", "#a5abb3"),
    "line": ("#d6d3cb", "#3b3f45"),
    "accent": ("#1f5f96", "#8fc1ea"),
    # From the lowest score to the highest.
    "s0": ("#e1edf6", "#1b2c3a"),
    "s1": ("#c0d9ec", "#21415c"),
    "s2": ("#97c0e0", "#2b5a82"),
    "s3": ("#68a4d0", "#3c7bae"),
    "s4": ("#3f86be", "#5c9dd0"),
    "s5": ("#23689f", "#90c1e8"),
    "s6": ("#0f4477", "#d2e8fa"),
    # From below zero over zero (d5) to above it. All bear text in ink.
    "d0": ("#e38c52", "#8a4a1c"),
    "d1": ("#eba776", "#743f19"),
    "d2": ("#f2c19b", "#5e3618"),
    "d3": ("#f7d9c2", "#472b17"),
    "d4": ("#fbeee1", "#312318"),
    "d5": ("#f4f3ef", "#1d2024"),
    "d6": ("#e4eff8", "#1a2936"),
    "d7": ("#c5dcee", "#1d384d"),
    "d8": ("#a2c8e6", "#1f4765"),
    "d9": ("#7bafd9", "#22557d"),
    "d10": ("#5698cd", "#266498"),
    # Parts of the variance.
    "order": ("#5b9bd3", "#2b6aa0"),
    "seed": ("#e5a05f", "#94561f"),
    "run": ("#cac7bf", "#565960"),
    "order_language": ("#aacce9", "#20465f"),
    "seed_language": ("#f4d1aa", "#5a3a1d"),
    "rest": ("#e5e2db", "#393c41"),
}
LIGHT = {name: light for name, (light, _) in COLOURS.items()}
LEVELS, STEPS = 7, 5  # colours of scores; colours on each side of zero
LONG = 34  # characters of an order, beyond which tasks are abbreviated


def number(value: float | None, digits: int = 1) -> str:
    """With so many decimals; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 2) -> str:
    """The same with its sign; what rounds to zero has none."""
    if value is None:
        return "–"
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text if any(digit in text for digit in "123456789") else text[1:]


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f}\u00a0%"


def p_value(value: float | None) -> str:
    """`= 0.031` or `< 0.001`, with a space that does not break, to stand after a p."""
    if value is None:
        return "–"
    return "<\u00a00.001" if value < 0.001 else f"=\u00a0{value:.{3 if value < 0.1 else 2}f}"


def bare_p(value: float | None) -> str:
    return p_value(value).removeprefix("=\u00a0")


def half_width(found: Mapping[str, Any]) -> str:
    """Half of an interval, which is symmetric about its mean; empty without one."""
    return "" if found.get("low") is None else f"±{(found['high'] - found['low']) / 2:.1f}"


def between(found: Mapping[str, Any]) -> str:
    """An interval of a difference in brackets; empty without one."""
    return "" if found.get("low") is None else f"[{signed(found['low'])}, {signed(found['high'])}]"


def beyond_zero(found: Mapping[str, Any]) -> bool:
    """Whether there is an interval and zero is not in it."""
    return found.get("low") is not None and (found["low"] > 0 or found["high"] < 0)


def count(value: int, noun: str) -> str:
    return f"{value} {noun}{'' if value == 1 else 's'}"


def over_seeds(study: Mapping[str, Any], text: str = ", mean over seeds") -> str:
    """`text` where there are several seeds; empty with one."""
    return text if len(study["design"]["seeds"]) > 1 else ""


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


class Names:
    """How tasks and orders are called: in full, or tasks by two letters where an order would be too long to read."""

    def __init__(self, orders: Iterable[Sequence[str]]):
        """`orders` are all that will be named, each a list of steps."""
        orders = list(orders)
        short = max((len(" → ".join(order)) for order in orders), default=0) > LONG
        tasks = dict.fromkeys(task for order in orders for step in order for task in step.split("+"))
        self.codes = _codes(tasks) if short else {}

    def step(self, step: str) -> str:
        return "+".join(self.codes.get(task, task) for task in step.split("+"))

    def order(self, order: Sequence[str]) -> str:
        """The steps, first to last; a task alone is never abbreviated."""
        if len(order) == 1 and "+" not in order[0]:
            return order[0]
        return (" › " if self.codes else " → ").join(map(self.step, order)) or "none (baseline)"

    @property
    def key(self) -> str:
        """What the abbreviations stand for; empty where there are none."""
        return ", ".join(f"{code} {task}" for task, code in self.codes.items() if code != task)


def _codes(tasks: Iterable[str]) -> dict[str, str]:
    """Two characters for each task: its first and a digit or letter that follows, the first that is still free."""
    codes: dict[str, str] = {}
    for task in tasks:
        following = [c for c in task[1:] if c.isdigit()] + [c for c in task[1:] if c.isalpha()]
        free = [task[0] + c for c in following if task[0] + c not in codes.values()]
        codes[task] = free[0] if free else task
    return codes
