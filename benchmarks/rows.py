"""Rows to measure on: real ones of MNLI or SQuAD, or generated ones of the same lengths."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq

from stiltwalk.tasks.base_data.row_tokenizer import SubwordTokenizer, Truncation
from stiltwalk.tasks.base_data.token_files import record_batch
from stiltwalk.training.batching import TokenizedRows

RowsName = Literal["nli", "qa"]

VOCABULARY = 250_002  # of XLM-R
HUB = Path("../shared/hub/datasets")  # data sets in the layout of the hub


@dataclass(frozen=True)
class RowsSource:
    """One kind of rows.

    lengths: tokens per row at the 0th, 5th, ... 100th percentile, special tokens included, by XLM-R's tokenizer and
    truncated as the tasks truncate. max_length: where rows are truncated. file, columns, truncation: the real rows.
    """

    lengths: tuple[int, ...]
    max_length: int
    file: Path
    columns: tuple[str, str]
    truncation: Truncation


SOURCES: dict[RowsName, RowsSource] = {
    "nli": RowsSource(  # 11,059 training rows of MNLI
        lengths=(6, 18, 22, 25, 27, 30, 32, 35, 37, 40, 42, 45, 48, 50, 54, 57, 61, 65, 71, 82, 128),
        max_length=128,
        file=HUB / "nyu-mll/glue/mnli/train-00000-of-00001.parquet",
        columns=("premise", "hypothesis"),
        truncation="longest_first",
    ),
    "qa": RowsSource(  # 8,073 training rows of SQuAD 1.1
        lengths=(46, 84, 108, 124, 133, 141, 147, 154, 161, 167, 175, 183, 190, 198, 208, 222, 235, 252, 278, 320, 384),
        max_length=384,
        file=HUB / "rajpurkar/squad/plain_text/train-00000-of-00001.parquet",
        columns=("question", "context"),
        truncation="only_second",
    ),
}


def make_rows(name: RowsName, count: int, seed: int = 0) -> TokenizedRows:
    """Generate rows with the lengths of real ones, token ids that follow Zipf's law, and two labels."""
    rng = np.random.default_rng(seed)
    lengths = draw_lengths(name, count, rng).round().astype(int)
    ids = [np.minimum(4 + rng.zipf(1.3, length), VOCABULARY - 1).tolist() for length in lengths]
    return to_rows(ids, rng.integers(0, 2, count).tolist())


def draw_lengths(name: RowsName, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw numbers of tokens per row, not rounded, from the percentiles of the real ones."""
    percentiles = SOURCES[name].lengths
    return np.interp(rng.random(count), np.linspace(0, 1, len(percentiles)), percentiles)


def read_rows(name: RowsName, tokenizer_folder: Path, count: int) -> TokenizedRows:
    """Read the first real rows, tokenised as the tasks are. Their labels are not used."""
    source = SOURCES[name]
    table = pq.read_table(source.file).slice(0, count)
    texts = list(zip(*(table[column].to_pylist() for column in source.columns), strict=True))
    ids = SubwordTokenizer(tokenizer_folder).ids(texts, source.max_length, source.truncation)
    return to_rows(ids, (np.arange(len(ids)) % 2).tolist())


def to_rows(ids: list[list[int]], labels: list[int]) -> TokenizedRows:
    """Return rows of these token ids and labels."""
    return TokenizedRows(record_batch({"input_ids": ids, "labels": labels}))
