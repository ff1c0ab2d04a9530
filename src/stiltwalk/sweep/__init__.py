"""Designs of orders, what they cost, and running them as DVC experiments."""
