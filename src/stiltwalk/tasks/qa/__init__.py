"""Extractive question answering (SQuAD, XQuAD, ...)."""
