"""How rows are read: the base class of all kinds, where rows come from, and what the kinds share."""
