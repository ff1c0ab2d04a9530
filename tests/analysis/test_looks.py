"""Declared looks at a sweep: when they come, what they spend, and how often they raise a false alarm."""

import numpy as np
import pytest

from simulate import THREE, simulate_targets
from stiltwalk.analysis.looks import final_power, find_look, spend_alpha
from stiltwalk.analysis.order_test import order_p_value
from stiltwalk.utils.errors import InputError

SEEDS = [11, 12, 13, 14, 15, 16]


def test_a_look_takes_its_share_of_the_seeds_and_waits_for_the_next():
    assert find_look(3, SEEDS, [11]) is None
    looks = [find_look(3, SEEDS, SEEDS[:number]) for number in (2, 3, 4, 6)]
    assert [look and (look.number, look.seeds) for look in looks] == [
        (1, SEEDS[:2]),
        (1, SEEDS[:2]),
        (2, SEEDS[:4]),
        (3, SEEDS),
    ]
    first = find_look(5, SEEDS, SEEDS[:2])
    assert first and (first.number, first.seeds) == (1, SEEDS[:2])
    assert find_look(3, SEEDS, [11, 13, 14, 15, 16]) is None  # seeds count in the sequence in which they run


def test_all_looks_together_spend_the_significance_level():
    looks = [find_look(5, SEEDS, SEEDS[:number]) for number in range(2, 7)]
    assert sum(look.alpha for look in looks if look) == pytest.approx(0.05)
    assert looks[0] and looks[-1] and looks[0].last_alpha == looks[-1].alpha
    assert spend_alpha(1) == pytest.approx(0.05) and spend_alpha(0.5) == pytest.approx(0.0056, abs=1e-4)


def test_a_number_of_looks_that_the_seeds_do_not_allow_is_an_error():
    with pytest.raises(InputError, match=r"--looks is 3; with 3 seeds, it must be a number from 1 to 2$"):
        find_look(3, [1, 2, 3], [1])


def test_repeated_looks_keep_the_rate_of_false_alarms():
    """After each of the seeds 2 to 6; testing each time at 5 % would give a false alarm in 17 % of sweeps."""
    cells = simulate_targets(THREE, 400, seeds=SEEDS, seed_sd=1)
    alarms = naive = 0
    for target in cells.targets:
        values = cells.order_scores(target)
        declared = undeclared = False
        for number in range(2, 7):
            look = find_look(5, SEEDS, SEEDS[:number])
            assert look
            p = order_p_value(values[values.index.get_level_values("seed").isin(look.seeds)])
            declared |= p <= look.alpha
            undeclared |= p <= 0.05
        alarms, naive = alarms + declared, naive + undeclared
    assert alarms / 400 < 0.075 < 0.1 < naive / 400


def test_the_power_of_the_complete_sweep_grows_with_the_effect():
    powers = [final_power(sd, 1.0, 6, 6, 0.03) for sd in (0.0, 0.5, 1.0, 2.0)]
    assert powers[0] == pytest.approx(0.03) and powers == sorted(powers) and powers[-1] > 0.9
    assert np.isnan(final_power(1.0, 0.0, 6, 6, 0.03))
