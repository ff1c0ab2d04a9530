"""Statistics of orders: from tables of scores to effects, intervals and tests."""
