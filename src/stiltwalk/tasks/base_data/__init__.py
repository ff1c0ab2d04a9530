"""Rows and their token ids: the base classes of all kinds, where rows come from, and what the kinds share."""
