"""Bitext mining: one row per sentence of either corpus."""

import pyarrow as pa

from stiltwalk.tasks.base_data.row_tokenizer import Features, RowTokenizer


class Tokenizer(RowTokenizer):
    """Tokenises sentences, stripped of surrounding space as in XTREME."""

    def tokenize(self, table: pa.Table, gold: bool) -> Features:
        """Return `input_ids` of `max_length` tokens at most."""
        texts = [text.strip() for text in table["text"].to_pylist()]
        return {"input_ids": self.subwords.ids(texts, self.max_length)}
