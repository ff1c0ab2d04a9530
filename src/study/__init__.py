"""Which orders to train, what they share, and what their scores say about order."""
