"""The power that the test of order will have with a design."""

from collections import Counter

import numpy as np
import pytest

from simulate import simulate
from stiltwalk.analysis.design_power import OrderTestPower, detectable_effects
from stiltwalk.analysis.order_test import order_p_value
from stiltwalk.sweep.designs import make_orders

SWEEPS = 400


def simulated_power(orders, seeds, order_sd=0.0, first=0.0):
    """The share of simulated sweeps in which the test of order is significant."""
    names, tasks = [",".join(order) for order in orders], sorted(orders[0])
    targets = [f"t{number:03}" for number in range(SWEEPS)]
    rng = np.random.default_rng(3)
    scores, _ = simulate(tasks, names, range(seeds), targets, ["en"], order_sd=order_sd, seed_sd=1.0, rng=rng)
    table = scores.pivot(index=["order", "seed"], columns="target", values="score")
    sizes = Counter(order[0] for order in orders)
    rarest = min(sizes, key=lambda task: sizes[task])
    table = table.add(first * table.index.get_level_values("order").str.startswith(rarest), axis=0)
    return np.mean([order_p_value(table[target]) <= 0.05 for target in targets])


@pytest.mark.parametrize(("design", "n", "seeds"), [("efficient:40", 4, 3), ("random:6", 5, 3), ("all", 3, 2)])
def test_the_power_is_that_of_the_test_on_simulated_sweeps(design, n, seeds):
    orders = make_orders(design, "abcde"[:n])
    power = OrderTestPower(orders, seeds)
    for order_sd in (0.0, 1.0):
        assert simulated_power(orders, seeds, order_sd) == pytest.approx(power.of_order_sd(order_sd), abs=0.07)
    for first in (2.0, 4.0):  # 400 sweeps: 2.8 standard errors are 0.07 at most
        assert simulated_power(orders, seeds, first=first) == pytest.approx(power.of_first_task(first), abs=0.07)


def test_detectable_effects_have_a_power_of_80_percent():
    for design, n in (("all", 2), ("all", 3), ("efficient:24", 4)):
        orders = make_orders(design, "abcd"[:n])
        power, detectable = OrderTestPower(orders, 3), detectable_effects(orders, 3)
        assert detectable.order_sd and detectable.first
        assert power.of_order_sd(detectable.order_sd) == pytest.approx(0.8, abs=0.01)
        assert power.of_first_task(detectable.first) == pytest.approx(0.8, abs=0.01)


def test_nothing_is_detected_where_nothing_is_tested():
    one_first_task = detectable_effects([tuple("abc"), tuple("acb")], 3)
    assert one_first_task.first is None and one_first_task.order_sd == pytest.approx(8.4, abs=0.5)
    for orders, seeds in (([tuple("abc")], 3), (make_orders("all", "abc"), 1), ([], 3)):
        assert detectable_effects(orders, seeds) == detectable_effects([], 3)
    assert detectable_effects([], 3).order_sd is None
