"""Translation word pairs: two sequences per row."""

from stiltwalk.tasks.base_data.row_tokenizer import ParallelTextTokenizer


class Tokenizer(ParallelTextTokenizer):
    """Tokenises the source word and the target word."""
