"""Rows of sentence retrieval: `source` in a language and `target`, its English translation.

In the files to predict on, the English side is sorted. XTREME's label file has a line for each sentence of the sorted
side: the row number of its translation among the sources.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stiltwalk.tasks.base_data.hub_columns import HubColumns
from stiltwalk.tasks.base_data.kind_rows import ConvertedRows, KindRows


class Rows(KindRows):
    """Sentences and their translations."""

    kind = "retrieval"
    schema = pa.schema({"source": pa.string(), "target": pa.string()})

    def convert_columns(self, raw: HubColumns) -> ConvertedRows:
        """Remove line ends: google/xtreme yields the lines of Tatoeba's files with theirs."""
        columns = {name: pc.utf8_rtrim(raw.table[name], "\r\n") for name in self.schema.names}
        return ConvertedRows(pa.table(columns))

    def split_gold(self, table: pa.Table) -> tuple[pa.Table, str]:
        """Sort the English side as XTREME does; label k is the source row of sorted English sentence k."""
        english = table["target"].to_pylist()
        order = np.array(sorted(range(len(english)), key=english.__getitem__), np.int64)
        inputs = table.set_column(table.schema.get_field_index("target"), "target", table["target"].take(order))
        return inputs, "".join(f"{row}\n" for row in order)
