"""Data sets and encoders of the Hugging Face hub."""
