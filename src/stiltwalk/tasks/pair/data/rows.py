"""Rows of pairs of texts: `text_a`, `text_b` and `label` (its name).

A line of a user's own file: `text<TAB>text<TAB>label`. XTREME's label file: one label per line.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from stiltwalk.tasks.base_data.hub_columns import HubColumns, null_mask
from stiltwalk.tasks.base_data.kind_rows import ConvertedRows, KindRows
from stiltwalk.tasks.base_data.own_lines import check_labels, split_fields


class Rows(KindRows):
    """Pairs of texts."""

    kind = "pair"
    schema = pa.schema({"text_a": pa.string(), "text_b": pa.string(), "label": pa.string()})
    gold = "label"
    non_text_columns = frozenset({"label"})
    nullable_columns = frozenset({"label"})

    def convert_columns(self, raw: HubColumns) -> ConvertedRows:
        """Convert labels to their names. A row without a label is unfit."""
        names = raw.label_names("label", raw.array("label"))
        return ConvertedRows(raw.replace("label", names), {"unlabelled": null_mask(names)})

    def parse_line(self, place: str, line: str, labels: Mapping[str, int]) -> dict[str, Any]:
        """Read `text<TAB>text<TAB>label`."""
        text_a, text_b, label = split_fields(place, line, ["text", "text", "label"])
        check_labels(place, [label], labels)
        return {"text_a": text_a, "text_b": text_b, "label": label}

    def split_gold(self, table: pa.Table) -> tuple[pa.Table, str]:
        """Return the texts, and one label per line."""
        return table.drop_columns(["label"]), "".join(f"{label}\n" for label in table["label"].to_pylist())
