"""Means of orders and components of variance."""

import pandas as pd
import pytest

from simulate import THREE, all_orders, simulate_targets
from stiltwalk.analysis.anova import VarianceComponents, order_means, variance_components


def test_components_of_variance_are_unbiased_with_missing_runs():
    cells = simulate_targets(THREE, 300, order_sd=1, seed_sd=0.7, noise_sd=0.5)
    present = cells.scores[cells.targets].drop(index=[(all_orders(THREE)[0], 1), (all_orders(THREE)[4], 3)])
    components = variance_components(present)
    assert isinstance(components, VarianceComponents)
    assert (components.order, components.seed, components.run) == pytest.approx((1.0, 0.49, 0.25), rel=0.15)


def test_a_missing_run_of_an_exceptional_seed_does_not_move_its_order():
    index = pd.MultiIndex.from_product([sorted(all_orders(THREE)), [1, 2, 3]], names=["order", "seed"])
    values = pd.Series([70.0 + order + 10 * seed for order in range(6) for seed in range(3)], index, name="score")
    assert order_means(values.iloc[1:])["score"].to_list() == pytest.approx([80, 81, 82, 83, 84, 85])
