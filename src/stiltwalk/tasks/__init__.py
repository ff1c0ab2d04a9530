"""Kinds of tasks: one folder each, behind the base classes base_rows, base_tokenize, base_head, base_search."""
