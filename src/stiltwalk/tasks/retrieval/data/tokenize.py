"""Sentence retrieval: two sequences per row, one of each language."""

from stiltwalk.tasks.base_data.row_tokenizer import ParallelTextTokenizer


class Tokenizer(ParallelTextTokenizer):
    """Tokenises the sentence of the other language and the English sentence."""
