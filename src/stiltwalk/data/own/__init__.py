"""A user's own files as a source of rows."""
