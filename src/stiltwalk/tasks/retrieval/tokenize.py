"""Sentence pairs to be found: as words to be pulled together."""

from stiltwalk.tasks.lexical.tokenize import encode

__all__ = ["encode"]
