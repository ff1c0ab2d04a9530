"""The generated world itself: its languages, its facts, and a generator for every task."""
