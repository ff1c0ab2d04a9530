"""Rows of text -> rows of token numbers: one module a kind of task, without torch or transformers."""
