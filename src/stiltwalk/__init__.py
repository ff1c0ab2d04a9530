"""The library behind the stages and commands in src/: see docs/architecture.md for a tour."""
