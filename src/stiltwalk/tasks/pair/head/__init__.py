"""Training on tasks of this kind, and what becomes of their predictions."""
