"""Rows of word pairs: `source` and `target`, a word and its translation.

A line of a user's own file: `word<TAB>word`. There are no such rows on the hub.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from stiltwalk.tasks.base_data.hub_columns import HubColumns
from stiltwalk.tasks.base_data.kind_rows import ConvertedRows, KindRows
from stiltwalk.tasks.base_data.own_lines import split_fields
from stiltwalk.utils.errors import InputError


class Rows(KindRows):
    """Pairs of words."""

    kind = "lexical"
    schema = pa.schema({"source": pa.string(), "target": pa.string()})

    def convert_columns(self, raw: HubColumns) -> ConvertedRows:
        """Refuse: word pairs are read from a user's own files only."""
        raise InputError(f"{raw.where}: rows of a lexical task are not read from the hub; set own: true in its record")

    def parse_line(self, place: str, line: str, labels: Mapping[str, int]) -> dict[str, Any]:
        """Read `word<TAB>word`."""
        source, target = split_fields(place, line, ["word", "word"])
        return {"source": source, "target": target}
