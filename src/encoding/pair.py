"""Pair classification: both texts in one row."""

from typing import Any

import pyarrow as pa

from encoding.tokens import Tokens


def encode(table: pa.Table, gold: bool, options: dict[str, Any], tokens: Tokens) -> dict[str, list[Any]]:
    """options: labels (names), max_length (tokens of both texts, special ones included; the longer text is cut)."""
    texts = list(zip(table["text_a"].to_pylist(), table["text_b"].to_pylist(), strict=True))
    features: dict[str, list[Any]] = {"input_ids": tokens.ids(texts, options["max_length"])}
    if gold:
        numbers = {label: number for number, label in enumerate(options["labels"])}
        features["labels"] = [numbers[label] for label in table["label"].to_pylist()]
    return features
