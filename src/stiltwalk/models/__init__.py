"""Encoders on disk, the multi-task model on top of them, and saved training states."""
