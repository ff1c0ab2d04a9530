"""Encoded examples mapped into memory, how they are grouped into batches, and batches as padded tensors."""

import math
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from stiltwalk.tasks.tables import IGNORED
from stiltwalk.utils.errors import InputError

INPUTS = ("input_ids", "labels", "picked", "start", "end")  # what a batch is made of
PADDING = {"labels": IGNORED, "picked": 0}


class Column:
    """Whole numbers, one a row, a list a row, or a list of lists a row; views of an Arrow array, nothing copied.

    values: all numbers. bounds: between which of them each list lies. outer: between which lists each row's lie.
    """

    def __init__(self, array: pa.Array):
        levels = []
        while pa.types.is_large_list(array.type):
            levels.append(array.offsets.to_numpy())
            array = array.values
        self.values: np.ndarray = array.to_numpy()
        self.bounds: np.ndarray | None = levels[-1] if levels else None
        self.outer: np.ndarray | None = levels[0] if len(levels) == 2 else None

    def lists(self, rows: np.ndarray) -> list[np.ndarray]:
        """The lists of these rows, one after the other."""
        assert self.bounds is not None
        if self.outer is not None:
            rows = np.concatenate([np.arange(self.outer[row], self.outer[row + 1]) for row in rows])
        return [self.values[self.bounds[row] : self.bounds[row + 1]] for row in rows]


class Encoded:
    """Tokenised examples (rows of the model, not of the data: a long text may give several).

    Columns: input_ids, a list of token numbers a row, or, where a row holds several sequences (the choices of a
    question, as many in every row), a list of such lists; `row`, which row of the data each one comes from; `weight`,
    its loss terms (0 where it has no label to learn from); and what src/encoding/<kind>.py adds.
    """

    def __init__(self, batch: pa.RecordBatch):
        self.batch = batch
        self.columns = {name: Column(batch[name]) for name in batch.schema.names}

    @classmethod
    def read(cls, path: Path) -> "Encoded":
        """The rows of a file that src/encode.py or src/encode_xtreme.py wrote."""
        try:
            return cls(pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0))
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None

    def __len__(self) -> int:
        return len(self.columns["row"].values)

    @property
    def rows(self) -> np.ndarray:
        return self.columns["row"].values

    @property
    def weights(self) -> np.ndarray:
        return self.columns["weight"].values

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens a row."""
        ids = self.columns["input_ids"]
        assert ids.bounds is not None
        return np.diff(ids.bounds if ids.outer is None else ids.bounds[ids.outer])

    def padded_to(self, multiple: int) -> np.ndarray:
        """Tokens a row, where each of its sequences is padded to a multiple of so many."""
        bounds = self.columns["input_ids"].bounds
        assert bounds is not None
        whole = multiple * ((len(bounds) - 1) // max(1, len(self)))
        return self.lengths if multiple == 1 else -(-self.lengths // whole) * whole

    @property
    def vocabulary(self) -> np.ndarray:
        """The distinct token numbers of all rows, sorted."""
        ids = self.columns["input_ids"].values
        seen = np.zeros(int(ids.max(initial=-1)) + 1, bool)
        seen[ids] = True  # np.bincount would first copy all of them to 64 bits
        return np.flatnonzero(seen)

    def take(self, rows: Iterable[int]) -> "Encoded":
        """These rows alone, in this order, copied."""
        return Encoded(self.batch.take(pa.array(rows, pa.int64())))

    def parts(self, rows: int, size: int) -> Iterator[tuple["Encoded", int]]:
        """All of it, `size` of the data's `rows` at a time; each part with its first row, where its `row` begins."""
        for first in range(0, rows, size):
            begin, end = np.searchsorted(self.rows, [first, first + size]).tolist()
            part = self.batch.slice(begin, end - begin)
            counted = pa.array(self.rows[begin:end] - np.int32(first))
            yield Encoded(part.set_column(part.schema.get_field_index("row"), "row", counted)), first

    def lists(self, name: str) -> Iterator[np.ndarray]:
        """One column's list of every row."""
        column = self.columns[name]
        return (column.lists(np.array([row]))[0] for row in range(len(self)))

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        bounds = self.columns["input_ids"].bounds
        assert bounds is not None
        return int(np.diff(bounds).max(initial=0))

    def tensors(
        self, indices: Iterable[int], pad_id: int, device: torch.device | str = "cpu", multiple: int = 1
    ) -> dict[str, torch.Tensor]:
        """The rows as tensors (sequences x longest sequence, or rows), padded on the right, with their mask.

        multiple: of the longest sequence's tokens, but never beyond those of all rows, which fit the encoder.
        """
        chosen = np.fromiter(indices, np.int64)
        batch: dict[str, Any] = {}
        for name, column in ((name, self.columns[name]) for name in INPUTS if name in self.columns):
            if column.bounds is None:
                batch[name] = column.values[chosen].astype(np.int64)
                continue
            lists = column.lists(chosen)
            lengths = np.fromiter(map(len, lists), np.int64)
            width = int(lengths.max())
            if multiple > 1:
                width = min(math.ceil(width / multiple) * multiple, self.longest)
            mask = np.arange(width) < lengths[:, None]
            batch[name] = np.full(mask.shape, pad_id if name == "input_ids" else PADDING[name], np.int64)
            batch[name][mask] = np.concatenate(lists)
            if name == "input_ids":
                batch["attention_mask"] = mask.astype(np.int64)
        return {name: torch.from_numpy(values).to(device, non_blocking=True) for name, values in batch.items()}


def training_batches(
    lengths: np.ndarray, batch_size: int, steps: int, generator: np.random.Generator, window: int = 50
) -> Iterator[np.ndarray]:
    """`steps` batches of exactly `batch_size` rows, each row once before any comes again.

    Rows are shuffled anew for every pass; within a window of `window` batches they are grouped by length, and the
    batches of the window shuffled, so that little is spent on padding and the lengths still vary from step to step.
    """
    pool = np.empty(0, np.int64)
    while steps > 0:
        wanted = min(window, steps) * batch_size
        while len(pool) < wanted:
            pool = np.concatenate([pool, generator.permutation(len(lengths))])
        chosen, pool = pool[:wanted], pool[wanted:]
        chosen = chosen[np.argsort(lengths[chosen], kind="stable")].reshape(-1, batch_size)
        yield from chosen[generator.permutation(len(chosen))]
        steps -= len(chosen)


def token_batches(lengths: np.ndarray, tokens: int, level: bool = False, processes: int = 1) -> list[np.ndarray]:
    """All rows, longest first, in batches of at most `tokens` padded tokens, or one row, for each of the processes.

    level: a batch that rows of one length fill by half ends with them, so that it has no padding and needs no mask.
    """
    order = np.argsort(-lengths, kind="stable")
    longest_first = lengths[order]
    batches, start = [], 0
    while start < len(order):
        longest = int(longest_first[start])
        end = start + processes * max(1, tokens // longest)
        if level:
            alike = start + int(np.count_nonzero(longest_first[start:end] == longest))
            end = alike if (alike - start) * longest >= tokens / 2 else end
        batches.append(order[start:end])
        start = end
    return batches
