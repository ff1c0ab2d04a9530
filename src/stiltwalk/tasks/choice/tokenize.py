"""Multiple choice: one sequence a choice, each with the prompt before it."""

from typing import Any

import pyarrow as pa

from stiltwalk.tasks.base_tokenize import Tokens
from stiltwalk.utils.errors import InputError


def encode(table: pa.Table, gold: bool, options: dict[str, Any], tokens: Tokens) -> dict[str, list[Any]]:
    """options: labels (one for each choice), max_length (tokens of prompt and choice; the prompt's start is cut)."""
    prompts, choices = table["prompt"].to_pylist(), table["choices"].to_pylist()
    count = len(options["labels"])
    if (odd := next((i for i, texts in enumerate(choices) if len(texts) != count), None)) is not None:
        raise InputError(f"row {odd} has {len(choices[odd])} choices; the task's record has {count} labels")
    pairs = [(prompt, text) for prompt, texts in zip(prompts, choices, strict=True) for text in texts]
    found = tokens.ids(pairs, options["max_length"], "only_first", side="left")
    features: dict[str, list[Any]] = {"input_ids": [found[i : i + count] for i in range(0, len(found), count)]}
    if gold:
        features["labels"] = table["label"].to_pylist()
    return features
