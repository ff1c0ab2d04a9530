"""Rows of this kind, and their token ids."""
