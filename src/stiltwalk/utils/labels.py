"""The label number that no loss counts."""

IGNORED = -100
"""Label of a token without a label of its own; torch's cross entropy leaves it out."""
