"""Stages that train, started from a process that has imported their libraries already."""
