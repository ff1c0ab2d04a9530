"""The sentences of two corpora, a row each."""

from typing import Any

import pyarrow as pa

from stiltwalk.tasks.base_tokenize import Tokens


def encode(table: pa.Table, gold: bool, options: dict[str, Any], tokens: Tokens) -> dict[str, list[Any]]:
    """options: max_length (tokens). The text is stripped, as in XTREME."""
    texts = [text.strip() for text in table["text"].to_pylist()]
    return {"input_ids": tokens.ids(texts, options["max_length"])}
