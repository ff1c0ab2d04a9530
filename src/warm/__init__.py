"""Stages started from a process that has imported their libraries already, and DVC with less to read."""
