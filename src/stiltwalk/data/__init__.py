"""Rows of real tasks: data sets of the Hugging Face hub, and a user's own files."""
