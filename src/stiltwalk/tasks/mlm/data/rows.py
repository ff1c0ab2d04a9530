"""Rows of running text for masked language modelling: `text`.

A line of a user's own file is a text.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stiltwalk.tasks.base_data.hub_columns import HubColumns
from stiltwalk.tasks.base_data.kind_rows import ConvertedRows, KindRows
from stiltwalk.tasks.base_data.own_lines import read_lines

MAX_CHARACTERS = 10_000  # of a text, about 2,000 tokens: articles of an encyclopedia are longer than any max_length


class Rows(KindRows):
    """Texts."""

    kind = "mlm"
    schema = pa.schema({"text": pa.string()})

    def convert_columns(self, raw: HubColumns) -> ConvertedRows:
        """Keep the beginning of every text. A blank text is unfit."""
        texts = raw.array("text")
        blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(texts)), 0)
        beginnings = pc.utf8_slice_codeunits(texts, 0, MAX_CHARACTERS)
        return ConvertedRows(pa.table({"text": beginnings}), {"no text": blank.to_numpy(zero_copy_only=False)})

    def read_own(self, path: Path, labels: Mapping[str, int], layout: str = "") -> Iterator[dict[str, Any]]:
        """Yield the lines that are not blank."""
        return ({"text": line} for _, line in read_lines(path) if line.strip())
