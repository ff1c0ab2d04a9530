"""Pair classification: both texts in one row."""

from typing import Any

import pyarrow as pa

from stiltwalk.tasks.base_tokenize import Tokens
from stiltwalk.utils.errors import InputError


def encode(table: pa.Table, gold: bool, options: dict[str, Any], tokens: Tokens) -> dict[str, list[Any]]:
    """options: labels (names), max_length (tokens of both texts, special ones included; the longer text is cut)."""
    texts = list(zip(table["text_a"].to_pylist(), table["text_b"].to_pylist(), strict=True))
    features: dict[str, list[Any]] = {"input_ids": tokens.ids(texts, options["max_length"])}
    if gold:
        numbers = {label: number for number, label in enumerate(options["labels"])}
        labels = table["label"].to_pylist()
        if odd := set(labels) - numbers.keys():
            raise InputError(f"the label {min(odd)!r} of the rows is none of the record's: {', '.join(numbers)}")
        features["labels"] = [numbers[label] for label in labels]
    return features
