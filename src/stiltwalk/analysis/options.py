"""The numbers that a user may set for an analysis, with their defaults; light enough to import for `--help`."""

ALPHA = 0.05
"""The significance level."""

SMALLEST = 1.0
"""The smallest standard deviation of order effects of interest, in points: below it, the choice of an order moves a
score by less than what papers on XTREME report as progress."""
