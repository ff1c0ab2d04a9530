"""Examples to measure on: real rows where there are some, else rows of the same lengths."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from stiltwalk.tasks.base_tokenize import SubwordTokenizer
from stiltwalk.tasks.tokenized_files import record_batch
from stiltwalk.training.batching import Encoded

VOCABULARY = 250_002  # XLM-R's
# Tokens a row at the 0th, 5th, ... 100th percentile, special ones included, cut as the tasks are, by XLM-R's tokenizer:
# 11,059 training rows of MNLI at 128 tokens, 8,073 of SQuAD 1.1 at 384.
LENGTHS = {
    "nli": [6, 18, 22, 25, 27, 30, 32, 35, 37, 40, 42, 45, 48, 50, 54, 57, 61, 65, 71, 82, 128],
    "qa": [46, 84, 108, 124, 133, 141, 147, 154, 161, 167, 175, 183, 190, 198, 208, 222, 235, 252, 278, 320, 384],
}
LIMITS = {"nli": 128, "qa": 384}
_HUB = Path("../shared/hub/datasets")
REAL = {
    "nli": (_HUB / "nyu-mll/glue/mnli/train-00000-of-00001.parquet", ("premise", "hypothesis")),
    "qa": (_HUB / "rajpurkar/squad/plain_text/train-00000-of-00001.parquet", ("question", "context")),
}


def make_rows(name: str, count: int, seed: int = 0) -> Encoded:
    """Rows whose lengths follow LENGTHS and whose tokens follow Zipf's law over the vocabulary; two labels."""
    rng = np.random.default_rng(seed)
    points = np.linspace(0, 1, len(LENGTHS[name]))
    lengths = np.interp(rng.random(count), points, LENGTHS[name]).round().astype(int)
    ids = [np.minimum(4 + rng.zipf(1.3, n), VOCABULARY - 1).tolist() for n in lengths]
    return encoded(ids, rng.integers(0, 2, count).tolist())


def read_rows(name: str, tokenizer_folder: Path, count: int) -> Encoded:
    """Rows of MNLI or SQuAD from the hub's layout in REAL, tokenised as the tasks are."""
    folder, columns = REAL[name]
    table = pq.read_table(folder).slice(0, count)
    texts = list(zip(*(table[column].to_pylist() for column in columns), strict=True))
    ids = SubwordTokenizer(tokenizer_folder).ids(texts, LIMITS[name], "only_second" if name == "qa" else "longest_first")
    return encoded(ids, (np.arange(len(ids)) % 2).tolist())


def encoded(ids: list[list[int]], labels: list[int]) -> Encoded:
    return Encoded(record_batch({"input_ids": ids, "labels": labels}))
