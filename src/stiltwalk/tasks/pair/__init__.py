"""Classification of pairs of texts (MNLI, XNLI, PAWS-X, ...)."""
