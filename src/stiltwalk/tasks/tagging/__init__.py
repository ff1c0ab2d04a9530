"""Tagging of tokens (UDPOS, PAN-X, CCG)."""
