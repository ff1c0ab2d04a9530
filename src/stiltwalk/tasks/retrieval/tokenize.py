"""Sentence retrieval: two sequences per row, one of each language."""

from stiltwalk.tasks.base_tokenize import ParallelTextTokenizer


class Tokenizer(ParallelTextTokenizer):
    """Tokenises the sentence of the other language and the English sentence."""
