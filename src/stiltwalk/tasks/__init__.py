"""Kinds of tasks: one folder each, behind the base classes base_spec, base_data, base_head, base_search."""
