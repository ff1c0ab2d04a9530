"""The encoder of the generated world: word vectors by latent semantic indexing, then masked language modelling."""
