"""Encoded examples, how they are grouped into batches, and batches as padded tensors."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

IGNORED = -100  # the label that torch's cross entropy leaves out

PADDING = {"attention_mask": 0, "labels": IGNORED, "picked": 0}


@dataclass
class Encoded:
    """Tokenised examples (rows of the model, not of the data: a long text may give several).

    features: name -> one value a row; a value is an int, a list of ints over the row's tokens, or, where a row holds
    several sequences (the choices of a question, as many in every row), a list of such lists.
    lengths: tokens a row. weights: loss terms a row (0 where a row has no label to learn from).
    rows: which row of the data each one comes from. extra: what only decoding needs.
    """

    features: dict[str, list[Any]]
    rows: list[int]
    weights: np.ndarray
    extra: dict[str, list[Any]] = field(default_factory=dict)

    @cached_property
    def lengths(self) -> np.ndarray:
        inputs = self.features["input_ids"]
        counts = (sum(map(len, ids)) if ids and isinstance(ids[0], list) else len(ids) for ids in inputs)
        return np.fromiter(counts, np.int64, len(self))

    @property
    def vocabulary(self) -> np.ndarray:
        """The distinct token ids of all rows, sorted."""
        rows = self.features["input_ids"]
        flat = itertools.chain.from_iterable(rows)
        if rows and isinstance(rows[0][0], list):
            flat = itertools.chain.from_iterable(flat)
        return np.unique(np.fromiter(flat, np.int64))

    def __len__(self) -> int:
        return len(self.features["input_ids"])

    def tensors(
        self, indices: Iterable[int], pad_id: int, device: torch.device | str = "cpu"
    ) -> dict[str, torch.Tensor]:
        """The rows as tensors (sequences x longest sequence, or rows), padded on the right."""
        batch, chosen = {}, list(indices)
        for name, values in self.features.items():
            picked = [values[i] for i in chosen]
            if isinstance(picked[0], list) and isinstance(picked[0][0], list):
                picked = [sequence for row in picked for sequence in row]
            if isinstance(picked[0], list):
                width = max(map(len, picked))
                fill = pad_id if name == "input_ids" else PADDING[name]
                picked = [value + [fill] * (width - len(value)) for value in picked]
            batch[name] = torch.tensor(picked).to(device, non_blocking=True)
        return batch


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


def token_batches(lengths: np.ndarray, tokens: int) -> list[np.ndarray]:
    """All rows, longest first, in batches of at most `tokens` padded tokens (at least one row each)."""
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        rows = max(1, tokens // int(lengths[order[start]]))
        batches.append(order[start : start + rows])
        start += rows
    return batches
