"""The page on a study: wording, tables, figures."""
