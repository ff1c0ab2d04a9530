"""What data stages know of a kind of task: its columns, how its rows are read, and where its gold goes.

Between stages, the rows of a split are one parquet file with the columns of the kind (`tasks/<kind>/data/rows.py`).
Files to predict on (`test-<language>.parquet`) lack the gold column.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stiltwalk.tasks.base_data.hub_columns import HubColumns, is_text
from stiltwalk.tasks.base_data.own_lines import read_lines, refuse_csv_quotes
from stiltwalk.utils.errors import InputError


@dataclass
class ConvertedRows:
    """Rows of a data set on the hub, in the columns of a kind.

    table: every row of the data set, including those that `unfit` marks. A sample is drawn by row number, so the
        samples of a parallel test set stay parallel across languages.
    unfit: for each reason to drop rows, one boolean per row.
    counts: what the conversion changed, for the record of the rows' origin.
    """

    table: pa.Table
    unfit: dict[str, np.ndarray] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


class KindRows(ABC):
    """The rows of one kind of task.

    schema: its columns.
    gold: the column that predictions are scored against, if there is one; tokenize.py turns it into numbers.
    own_suffix, label_suffix: of a user's own files, and of XTREME's label files.
    non_text_columns: columns of a data set on the hub that need not be text.
    nullable_columns: columns of a data set on the hub that may lack a value; a row without one is dropped.
    """

    kind: ClassVar[str]
    schema: ClassVar[pa.Schema]
    gold: ClassVar[str | None] = None
    own_suffix: ClassVar[str] = "tsv"
    label_suffix: ClassVar[str] = "tsv"
    non_text_columns: ClassVar[frozenset[str]] = frozenset()
    nullable_columns: ClassVar[frozenset[str]] = frozenset()

    def convert(self, raw: HubColumns) -> ConvertedRows:
        """Convert rows of a data set on the hub to the columns of this kind.

        Raises InputError on an unknown label and on values that cannot be rows of this kind.
        """
        self._check_columns(raw)
        try:
            converted = self.convert_columns(replace(raw, table=raw.table.combine_chunks()))
            converted.table = converted.table.select(self.schema.names).cast(self.schema)
        except (pa.ArrowException, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{raw.where}: columns do not fit a {self.kind} task: {reason}") from None
        return converted

    @abstractmethod
    def convert_columns(self, raw: HubColumns) -> ConvertedRows:
        """Do the part of `convert` that is specific to the kind."""

    def drop_characters(self, table: pa.Table, characters: str) -> pa.Table:
        """Remove characters from every token."""
        raise InputError(f"drop_characters: rows of a {self.kind} task have no tokens; remove the key")

    def split_pairs(self, table: pa.Table) -> tuple[pa.Table, list[tuple[str, str]]]:
        """Turn converted rows into corpora that hold each sentence once, and the gold pairs of ids (source, target)."""
        raise InputError(f"a {self.kind} task has no corpora")

    def own_file_names(self, record: Mapping[str, Any]) -> list[str]:
        """Return the names of the files that a user has to provide for a task or target."""
        return [f"{split}.{self.own_suffix}" for split in ("train", "validation")]

    def read_own(self, path: Path, labels: Mapping[str, int], layout: str = "") -> Iterator[dict[str, Any]]:
        """Yield the rows of a user's own file.

        labels: the labels that the task's record lists, with their numbers; empty if it lists none.
        layout: which of several layouts the file has, if the record says so.
        Raises InputError, naming file and place, where the file has a wrong layout or an unknown label.
        """
        lines = [(place, line) for place, line in read_lines(path) if line]
        refuse_csv_quotes(lines)
        return (self.parse_line(place, line, labels) for place, line in lines)

    def parse_line(self, place: str, line: str, labels: Mapping[str, int]) -> dict[str, Any]:
        """Read one line of a user's own file."""
        raise InputError(f"{place}: own rows of a {self.kind} task are not read; remove own: true from its record")

    def read_own_pairs(self, stem: Path, language: str) -> tuple[pa.Table, list[tuple[str, str]]]:
        """Read a user's own corpora in a language and in English, and the gold pairs of ids (source, target)."""
        raise InputError(f"{stem}.*: a {self.kind} task has no corpora")

    def check_test(self, table: pa.Table, where: str) -> None:  # noqa: B027
        """Raise InputError if scoring could not use these test rows. Most kinds have nothing to check."""

    def split_gold(self, table: pa.Table) -> tuple[pa.Table, str]:
        """Return the rows without what predictions must not see, and the text of XTREME's label file."""
        raise InputError(f"a {self.kind} task has no label files; it cannot be a target of XTREME")

    def write(self, table: pa.Table, path: Path, gold: bool = True) -> None:
        """Write the kind's columns, without the gold column unless `gold`. The same rows give the same bytes."""
        schema = self.schema
        if self.gold and not gold:
            schema = schema.remove(schema.get_field_index(self.gold))
        pq.write_table(table.select(schema.names).cast(schema), path, compression="zstd")

    def _check_columns(self, raw: HubColumns) -> None:
        for name in raw.table.column_names:
            column = raw.table[name]
            if name not in self.non_text_columns and not is_text(column.type):
                raise InputError(
                    f"{raw.where}: {name} has the type {column.type}, not text; check `columns` of its record"
                )
            if column.null_count and name not in self.nullable_columns:
                row = pc.index(pc.is_null(column), True).as_py()
                raise InputError(f"{raw.where}: row {row} has no {name}")


def load_rows(kind: str) -> KindRows:
    """Return the rows of a kind of task. Only that kind's modules are imported."""
    return import_module(f"stiltwalk.tasks.{kind}.data.rows").Rows()


def shuffle_gold(table: pa.Table, rows: KindRows, seed: int) -> pa.Table:
    """Shuffle the gold column: the same texts and the same labels, with nothing to learn."""
    order = np.random.default_rng(seed).permutation(len(table))
    shuffled = table[rows.gold].take(pa.array(order))
    return table.set_column(table.schema.get_field_index(rows.gold), rows.gold, shuffled)
