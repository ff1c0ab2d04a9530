"""The colours of the page and its figures, in a light and a dark version."""

# A figure for a paper uses the light colour. In the page, the light colour becomes the CSS variable of its name, so no
# two names may share a light colour.
COLOURS = {
    "paper": ("#fcfbf8", "#16181b"),
    "ink": ("#1d2126", "#e8e6e1"),
    "muted": ("#565e68", "#a5abb3"),
    "line": ("#d6d3cb", "#3b3f45"),
    "accent": ("#1f5f96", "#8fc1ea"),
    # Scores, from the lowest to the highest.
    "s0": ("#e1edf6", "#1b2c3a"),
    "s1": ("#c0d9ec", "#21415c"),
    "s2": ("#97c0e0", "#2b5a82"),
    "s3": ("#68a4d0", "#3c7bae"),
    "s4": ("#3f86be", "#5c9dd0"),
    "s5": ("#23689f", "#90c1e8"),
    "s6": ("#0f4477", "#d2e8fa"),
    # Differences, from below zero through zero (d5) to above zero. Text in ink is legible on all of them.
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
    # Variance components.
    "order": ("#5b9bd3", "#2b6aa0"),
    "seed": ("#e5a05f", "#94561f"),
    "run": ("#cac7bf", "#565960"),
    "order_language": ("#aacce9", "#20465f"),
    "seed_language": ("#f4d1aa", "#5a3a1d"),
    "rest": ("#e5e2db", "#393c41"),
}
LIGHT = {name: light for name, (light, _) in COLOURS.items()}
INK, MUTED, LINE, ACCENT, PAPER = (LIGHT[name] for name in ("ink", "muted", "line", "accent", "paper"))

SCORE_COLOURS = 7
SHADES_PER_SIDE = 5  # of differences, on each side of zero
DIFFERENCE_COLOURS = [f"d{i}" for i in range(2 * SHADES_PER_SIDE + 1)]


def score_colour(score: float, lowest: float, highest: float) -> str:
    """Return the colour of a score between the lowest and the highest, as #rrggbb."""
    place = (score - lowest) / ((highest - lowest) or 1.0)
    return LIGHT[f"s{min(SCORE_COLOURS - 1, int(SCORE_COLOURS * place))}"]


def difference_colour(difference: float, limit: float) -> str:
    """Return the name of a difference's colour: `d5` is closest to zero, `d0` and `d10` are at ±limit or beyond."""
    return DIFFERENCE_COLOURS[round(SHADES_PER_SIDE + SHADES_PER_SIDE * max(-1.0, min(1.0, difference / limit)))]
