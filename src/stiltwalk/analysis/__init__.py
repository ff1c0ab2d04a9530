"""Statistics of orders: from tables of scores to effects, intervals and tests."""

SMALLEST = 1.0
"""The smallest standard deviation of order effects of interest, in points: below it, the choice of an order moves a
score by less than what papers on XTREME report as progress."""
