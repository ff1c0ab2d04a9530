"""Multiple choice: one sequence per choice, each with the prompt before it."""

import pyarrow as pa

from stiltwalk.tasks.base_data.row_tokenizer import Features, RowTokenizer
from stiltwalk.utils.errors import InputError


class Tokenizer(RowTokenizer):
    """Pairs the prompt with each choice; the start of the prompt is truncated to `max_length` tokens in total."""

    def tokenize(self, table: pa.Table, gold: bool) -> Features:
        """Return `input_ids`, one sequence per choice, and with gold `labels`, the number of the right choice.

        Raises InputError if a row has another number of choices than the task has labels.
        """
        prompts, choices = table["prompt"].to_pylist(), table["choices"].to_pylist()
        count = len(self.options["labels"])
        for row, texts in enumerate(choices):
            if len(texts) != count:
                raise InputError(f"row {row} has {len(texts)} choices; the task's record has {count} labels")
        pairs = [(prompt, text) for prompt, texts in zip(prompts, choices, strict=True) for text in texts]
        ids = self.subwords.ids(pairs, self.max_length, "only_first", side="left")
        features: Features = {"input_ids": [ids[start : start + count] for start in range(0, len(ids), count)]}
        if gold:
            features["labels"] = table["label"].to_pylist()
        return features
