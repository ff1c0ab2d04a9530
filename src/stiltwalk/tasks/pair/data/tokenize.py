"""Pair classification: both texts in one sequence."""

import pyarrow as pa

from stiltwalk.tasks.base_data.row_tokenizer import Features, RowTokenizer
from stiltwalk.utils.errors import InputError


class Tokenizer(RowTokenizer):
    """Puts both texts into one sequence of `max_length` tokens at most; the longer text is truncated."""

    def tokenize(self, table: pa.Table, gold: bool) -> Features:
        """Return `input_ids`; if `gold`, also `labels` (label numbers).

        Raises InputError if a label is not among the task's labels.
        """
        texts = list(zip(table["text_a"].to_pylist(), table["text_b"].to_pylist(), strict=True))
        features: Features = {"input_ids": self.subwords.ids(texts, self.max_length)}
        if gold:
            numbers = {label: number for number, label in enumerate(self.options["labels"])}
            labels = table["label"].to_pylist()
            if unknown := set(labels) - numbers.keys():
                raise InputError(
                    f"the rows have the label {min(unknown)!r}; the task's record lists only: {', '.join(numbers)}"
                )
            features["labels"] = [numbers[label] for label in labels]
        return features
