"""Sentence pairs to be found: as words to be pulled together."""

from encoding.lexical import encode

__all__ = ["encode"]
