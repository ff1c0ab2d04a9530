"""The report's sentences: all of them are in templates/, as whole sentences; code only supplies numbers and names."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from stiltwalk.report.formatting import (
    format_interval,
    format_number,
    format_p,
    format_p_cell,
    format_percent,
    format_signed,
)
from stiltwalk.utils.text import count, join_words

TEMPLATES = Path(__file__).parent / "templates"


def make_environment(html: bool) -> Environment:
    """Templates for the page (html) or for plain text."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=html,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "number": format_number,
        "signed": format_signed,
        "percent": format_percent,
        "p_value": format_p,
        "p_cell": format_p_cell,
        "interval": format_interval,
        "join_words": lambda words: join_words(list(words)),
    }
    environment.globals |= {"count": count}
    return environment


@cache
def text_template(name: str) -> Template:
    """One of templates/<name>.txt.j2."""
    return make_environment(html=False).get_template(f"{name}.txt.j2")


def render_paragraphs(template: str, **values: Any) -> list[str]:
    """Render templates/<template>.txt.j2 and split it into paragraphs at blank lines."""
    paragraphs = re.split(r"\n\s*\n", text_template(template).render(values))
    return [text for text in map(join_lines, paragraphs) if text]


def caption(name: str, **values: Any) -> str:
    """Render one of the captions of tables and figures in templates/captions.txt.j2."""
    return _call_macro("captions", name, values)


def alt_text(name: str, **values: Any) -> str:
    """Render one of the alternative texts of figures in templates/alt_texts.txt.j2."""
    return _call_macro("alt_texts", name, values)


def introduction(name: str, **values: Any) -> str:
    """Render one of the introductions to sections in templates/introductions.txt.j2."""
    return _call_macro("introductions", name, values)


def join_lines(text: str) -> str:
    """Return the text on one line. Spaces that do not break are kept."""
    return re.sub(r"[ \n]+", " ", text).strip()


def _call_macro(template: str, macro: str, values: dict[str, Any]) -> str:
    return join_lines(getattr(text_template(template).module, macro)(**values))
