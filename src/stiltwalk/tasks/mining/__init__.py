"""Bitext mining (BUCC 2018)."""
