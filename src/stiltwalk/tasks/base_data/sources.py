"""Where rows come from: data sets on the hub, a user's own files, or the generated world."""

from importlib import import_module
from typing import Any, Protocol, cast

import pyarrow as pa

MODULES = {
    "hub": "stiltwalk.data.hub.source",
    "own": "stiltwalk.data.own.source",
    "world": "stiltwalk.miniworld.generate.source",
}


class Source(Protocol):
    """What the module of a source offers."""

    def target_languages(self, record: dict[str, Any]) -> list[str]:
        """Return the languages in which a target is tested."""

    def read(
        self, task: str, record: dict[str, Any], split: str, language: str = "en"
    ) -> tuple[pa.Table, dict[str, Any]]:
        """Return a split of a task in a language, with all columns of the record's kind, and its origin."""

    def read_pairs(
        self, task: str, record: dict[str, Any], split: str, language: str
    ) -> tuple[pa.Table, list[tuple[str, str]], dict[str, Any]]:
        """Return the corpora of a mining task in a language and in English, the gold pairs of ids and the origin."""


def load_source(name: str) -> Source:
    """Return a source by its name: `hub`, `own` or `world`. Only its own modules are imported."""
    return cast(Source, import_module(MODULES[name]))
