"""Columns of data sets on the hub, as kinds of tasks convert them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stiltwalk.tasks.base_data.unknown_labels import describe_unknown_label
from stiltwalk.utils.errors import InputError


@dataclass(frozen=True)
class HubColumns:
    """Rows of a data set on the hub.

    table: columns under the names of the kind of task, in the data set's types.
    class_names: for each column, the names that the data set declares for its numbered labels, or None.
    labels: the labels that the task's record lists.
    training: False if every row must be kept, to predict on it.
    where: data set and split, for messages.
    """

    table: pa.Table
    class_names: Mapping[str, Sequence[str] | None]
    labels: Sequence[str]
    training: bool
    where: str

    def __contains__(self, name: str) -> bool:
        """Whether there is such a column."""
        return name in self.table.column_names

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.table)

    def array(self, name: str) -> pa.Array:
        """Return a column as one array."""
        return as_array(self.table, name)

    def values(self, name: str) -> list[Any]:
        """Return the values of a column."""
        return self.table[name].to_pylist()

    def replace(self, name: str, column: pa.Array) -> pa.Table:
        """Return the table with another column in place of one."""
        return self.table.set_column(self.table.schema.get_field_index(name), name, column)

    def label_names(self, name: str, labels: pa.Array, row_of: Callable[[int], int] = int) -> pa.Array:
        """Convert labels of a column to their names, which are all among the record's labels.

        labels: names, or numbers (also written as text). A number indexes the column's class names if the data set
            declares them. Otherwise it is a name if the record's labels are numbers, and else an index of them. -1 and
            null mean that there is no label, and become null.
        row_of: the row of a label's number, for the message about an unknown label.
        Raises InputError on an unknown label.
        """
        class_names = self.class_names[name]
        encoded = labels.dictionary_encode()
        names: list[str | None] = []
        for code, label in enumerate(encoded.dictionary.to_pylist()):
            label_name = self._label_name(label, class_names)
            if label_name is not None and label_name not in self.labels:
                row = row_of(pc.index(encoded.indices, code).as_py())
                name_of_number = "" if label_name == str(label) else label_name
                raise InputError(
                    f"{self.where}: row {row} has {describe_unknown_label(label, self.labels, name_of_number)}"
                )
            names.append(label_name)
        return pa.array(names, pa.string()).take(encoded.indices)

    def _label_name(self, label: Any, class_names: Sequence[str] | None) -> str | None:
        if label is None or label in self.labels:
            return label
        if isinstance(label, str) and re.fullmatch(r"-?\d+", label):
            label = int(label)
        if isinstance(label, int):
            if label == -1:
                return None
            if class_names is None and any(name.isdecimal() for name in self.labels):
                return str(label)
            names = self.labels if class_names is None else class_names
            return names[label] if 0 <= label < len(names) else "a number without a name"
        return str(label)


def as_array(table: pa.Table, name: str) -> pa.Array:
    """Return a column as one array."""
    column = table[name].combine_chunks()
    return column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)


def is_text(type_: pa.DataType) -> bool:
    """Whether values of an Arrow type are strings."""
    return pa.types.is_string(type_) or pa.types.is_large_string(type_)


def is_list(type_: pa.DataType | None) -> bool:
    """Whether values of an Arrow type are lists; False for None."""
    return type_ is not None and (pa.types.is_list(type_) or pa.types.is_large_list(type_))


def null_mask(values: pa.Array) -> np.ndarray:
    """Return one boolean per value: whether it is null."""
    return pc.is_null(values).to_numpy(zero_copy_only=False)


def list_lengths(lists: pa.Array) -> np.ndarray:
    """Return the length of every list; a null counts as an empty list."""
    return pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
