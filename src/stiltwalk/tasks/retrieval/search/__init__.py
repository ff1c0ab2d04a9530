"""Search with the sentence vectors of an encoder as it is."""
