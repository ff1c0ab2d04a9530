"""Targeted lexical injection: translation pairs of words, pulled together in one early layer."""
