"""Sentence retrieval (Tatoeba)."""
