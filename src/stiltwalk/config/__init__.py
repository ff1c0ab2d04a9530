"""What can be set, how it is checked, and what follows from it."""
