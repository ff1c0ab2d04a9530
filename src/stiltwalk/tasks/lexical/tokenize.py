"""Pairs of words or sentences in two languages: one row a pair, a sequence a side."""

from typing import Any

import pyarrow as pa

from stiltwalk.tasks.base_tokenize import Tokens


def encode(table: pa.Table, gold: bool, options: dict[str, Any], tokens: Tokens) -> dict[str, list[Any]]:
    """options: max_length (tokens). A row holds the source's tokens and the target's."""
    sides = (tokens.ids(table[side].to_pylist(), options["max_length"]) for side in ("source", "target"))
    return {"input_ids": [list(pair) for pair in zip(*sides, strict=True)]}
