"""Masked language modelling: which tokens of a text are to be guessed, chosen once for every row."""

import zlib
from typing import Any

import numpy as np
import pyarrow as pa

from stiltwalk.tasks.base_tokenize import Tokens
from stiltwalk.tasks.tables import IGNORED


def encode(table: pa.Table, gold: bool, options: dict[str, Any], tokens: Tokens) -> dict[str, list[Any]]:
    """options: max_length (tokens; a longer text is cut), mask (share of the tokens to guess).

    Which they are is drawn of the text alone, whatever others there are.
    Of the tokens to guess 80 % are masked, 10 % replaced by a random word, 10 % left (BERT, section 3.1). `labels` has
    their true numbers, and IGNORED elsewhere; `picked` is 1 where there is one.
    """
    special = np.unique(list(tokens.special.values()))
    words = np.setdiff1d(np.arange(tokens.size), special)
    features: dict[str, list[Any]] = {name: [] for name in ("input_ids", "labels", "picked", "weight")}
    texts = table["text"].to_pylist()
    for text, row in zip(texts, tokens.ids(texts, options["max_length"]), strict=True):
        rng, ids = np.random.default_rng(zlib.crc32(text.encode())), np.array(row)
        free = np.flatnonzero(~np.isin(ids, special))
        chosen = rng.permutation(free)[: max(1, round(options["mask"] * len(free)))]
        how = rng.random(len(chosen))
        labels = np.full(len(ids), IGNORED)
        labels[chosen] = ids[chosen]
        ids[chosen[how < 0.8]] = tokens.special["mask_token"]
        changed = chosen[how >= 0.9]
        ids[changed] = rng.choice(words, len(changed))
        features["input_ids"].append(ids.tolist())
        features["labels"].append(labels.tolist())
        features["picked"].append((labels != IGNORED).astype(int).tolist())
        features["weight"].append(len(chosen))
    return features
