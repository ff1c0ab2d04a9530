"""Tokenized rows, mapped into memory; how rows are grouped into batches; batches as padded tensors."""

import math
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from stiltwalk.utils.errors import InputError
from stiltwalk.utils.labels import IGNORED

INPUTS = ("input_ids", "labels", "mlm_mask", "start", "end")  # the columns that batches, and so losses, can read
PADDING = {"labels": IGNORED, "mlm_mask": 0}


class Column:
    """One number per row, or a list of them, or a list of such lists; views of an Arrow array, which copy nothing.

    values: all numbers. bounds: the places in `values` where lists begin and end. outer: where rows begin and end
    among the lists, if a row has several.
    """

    def __init__(self, array: pa.Array):
        offsets = []
        while pa.types.is_large_list(array.type):
            offsets.append(array.offsets.to_numpy())
            array = array.values
        self.values: np.ndarray = array.to_numpy()
        self.bounds: np.ndarray | None = offsets[-1] if offsets else None
        self.outer: np.ndarray | None = offsets[0] if len(offsets) == 2 else None
        self.tensor_type = np.int64 if pa.types.is_integer(array.type) else np.float32

    def lists(self, rows: np.ndarray) -> list[np.ndarray]:
        """Return the lists of these rows, one after the other."""
        assert self.bounds is not None
        if self.outer is not None:
            rows = np.concatenate([np.arange(self.outer[row], self.outer[row + 1]) for row in rows])
        return [self.values[self.bounds[row] : self.bounds[row + 1]] for row in rows]


class TokenizedRows:
    """Rows of token ids, made from the rows of a table. A table row with a long text may give several of them.

    Columns: `input_ids`, a list of token ids, or a list of such lists if a row holds several sequences (the choices of
    a question; every row then has the same number); `row`, the table row that it comes from; `loss_terms`,
    the number of terms that it adds to the loss (0 if there is no label to learn from); and what the kind of task adds
    (src/stiltwalk/tasks/<kind>/data/tokenize.py).
    """

    def __init__(self, batch: pa.RecordBatch):
        self.batch = batch
        self.columns = {name: Column(batch[name]) for name in batch.schema.names}

    @classmethod
    def read(cls, path: Path) -> "TokenizedRows":
        """Map a file of tokenized rows (`tasks/base_data/token_files.py`) into memory."""
        try:
            return cls(pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0))
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None

    def __len__(self) -> int:
        return len(self.columns["row"].values)

    @property
    def table_rows(self) -> np.ndarray:
        """The row of the table that each tokenized row comes from."""
        return self.columns["row"].values

    @property
    def loss_terms(self) -> np.ndarray:
        """The number of loss terms of each row."""
        return self.columns["loss_terms"].values

    @cached_property
    def lengths(self) -> np.ndarray:
        """The number of tokens in each row."""
        ids = self.columns["input_ids"]
        assert ids.bounds is not None
        return np.diff(ids.bounds if ids.outer is None else ids.bounds[ids.outer])

    def padded_lengths(self, multiple: int) -> np.ndarray:
        """Return the number of tokens in each row once its sequences have one length, a multiple of `multiple`."""
        ids = self.columns["input_ids"]
        assert ids.bounds is not None
        if ids.outer is None:
            return -(-self.lengths // multiple) * multiple
        sequences = np.diff(ids.outer)
        longest = np.maximum.reduceat(np.diff(ids.bounds), ids.outer[:-1])
        return sequences * -(-longest // multiple) * multiple

    @property
    def vocabulary(self) -> np.ndarray:
        """The distinct token ids of all rows, sorted."""
        ids = self.columns["input_ids"].values
        used = np.zeros(int(ids.max(initial=-1)) + 1, bool)
        used[ids] = True  # np.bincount would first copy all ids to 64 bits
        return np.flatnonzero(used)

    @cached_property
    def longest(self) -> int:
        """The number of tokens in the longest sequence."""
        bounds = self.columns["input_ids"].bounds
        assert bounds is not None
        return int(np.diff(bounds).max(initial=0))

    def take(self, rows: Iterable[int]) -> "TokenizedRows":
        """Return a copy of these rows, in this order."""
        return TokenizedRows(self.batch.take(pa.array(rows, pa.int64())))

    def parts(self, table_size: int, size: int) -> Iterator[tuple["TokenizedRows", int]]:
        """Yield the tokenized rows of `size` table rows at a time, with the number of the first of these table rows.

        table_size: the number of rows of the table. Within a part, table rows are counted from 0.
        """
        for first in range(0, table_size, size):
            begin, end = np.searchsorted(self.table_rows, [first, first + size]).tolist()
            part = self.batch.slice(begin, end - begin)
            renumbered = pa.array(self.table_rows[begin:end] - np.int32(first))
            yield TokenizedRows(part.set_column(part.schema.get_field_index("row"), "row", renumbered)), first

    def lists(self, name: str) -> Iterator[np.ndarray]:
        """Yield the list that each row has in a column."""
        column = self.columns[name]
        return (column.lists(np.array([row]))[0] for row in range(len(self)))

    def tensors(
        self, indices: Iterable[int], pad_id: int, device: torch.device | str = "cpu", multiple: int = 1
    ) -> dict[str, torch.Tensor]:
        """Return rows as tensors with an attention mask, padded on the right.

        Columns of lists give sequences x tokens, the others one number per row. Sequences are padded to a multiple of
        `multiple`, but never beyond the longest sequence of all rows: the encoder might not read more tokens.
        """
        chosen = np.fromiter(indices, np.int64)
        batch: dict[str, Any] = {}
        for name in INPUTS:
            column = self.columns.get(name)
            if column is None:
                continue
            if column.bounds is None:
                batch[name] = column.values[chosen].astype(column.tensor_type)
                continue
            lists = column.lists(chosen)
            lengths = np.fromiter(map(len, lists), np.int64)
            width = int(lengths.max())
            if multiple > 1:
                width = min(math.ceil(width / multiple) * multiple, self.longest)
            mask = np.arange(width) < lengths[:, None]
            padding = pad_id if name == "input_ids" else PADDING[name]
            batch[name] = np.full(mask.shape, padding, column.tensor_type)
            batch[name][mask] = np.concatenate(lists)
            if name == "input_ids":
                batch["attention_mask"] = mask.astype(np.int64)
        return {name: torch.from_numpy(values).to(device, non_blocking=True) for name, values in batch.items()}


def training_batches(
    lengths: np.ndarray, batch_size: int, steps: int, generator: np.random.Generator, window: int = 50
) -> Iterator[np.ndarray]:
    """Yield `steps` batches of exactly `batch_size` rows. Every row comes once before any row comes again.

    Rows are shuffled for every pass over the data. Within a window of up to `window` batches they are grouped by
    length, and the batches of the window are shuffled: there is little padding, and lengths still vary from step to
    step. A window lies within one pass; the last rows of a pass and the first of the next are a batch by themselves.
    """
    pool = np.empty(0, np.int64)
    while steps > 0:
        left_over = pool
        while len(pool) < batch_size:
            shuffled = generator.permutation(len(lengths))
            repeated = np.isin(shuffled, left_over)  # in the same batch, if they came first
            pool = np.concatenate([pool, shuffled[~repeated], shuffled[repeated]])
        joins_passes = 0 < len(left_over) < batch_size
        count = 1 if joins_passes else min(window, steps, len(pool) // batch_size)
        chosen, pool = np.split(pool, [count * batch_size])
        chosen = chosen[np.argsort(lengths[chosen], kind="stable")].reshape(-1, batch_size)
        yield from chosen[generator.permutation(len(chosen))]
        steps -= len(chosen)


def token_batches(lengths: np.ndarray, tokens: int, level: bool = False, processes: int = 1) -> list[np.ndarray]:
    """Group all rows, longest first, into batches of at most `tokens` padded tokens per process.

    lengths: the tokens of every row. A row with more than `tokens` is a batch by itself.
    level: end a batch after the rows of one length if these fill at least half of it. Such a batch has no padding, and
    needs no mask.
    """
    order = np.argsort(-lengths, kind="stable")
    longest_first = lengths[order]
    batches, start = [], 0
    while start < len(order):
        longest = int(longest_first[start])
        end = start + processes * max(1, tokens // longest)
        if level:
            end_of_length = start + int(np.count_nonzero(longest_first[start:end] == longest))
            end = end_of_length if (end_of_length - start) * longest >= tokens / 2 else end
        batches.append(order[start:end])
        start = end
    return batches
