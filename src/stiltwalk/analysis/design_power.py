"""How large an effect the test of order will detect with a design, before anything runs.

Runs are taken for independent and normal. The mean over n runs then has the variance 1/n in units of the noise variance
of a run, and so every sum of squares of the test (`order_test`) is a weighted sum of chi-squares, drawn here without
simulating a sweep. Runs that share checkpoints have correlated noise, from which first tasks suffer most: a detectable
effect of a first task is larger then.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from stiltwalk.analysis.order_test import ALPHA
from stiltwalk.analysis.power import POWER
from stiltwalk.sweep.trie import Order

DRAWS = 4000
LARGEST = 100.0  # effects above so many standard deviations of a run are not looked for


@dataclass(frozen=True)
class DetectableEffects:
    """The smallest effects that the test detects with a power of 80 % at the 5 % level, in sds of a run's noise."""

    order_sd: float | None
    """Standard deviation of independent, normal effects of all orders. None above LARGEST, or if nothing is tested."""
    first: float | None
    """Effect of one task being first: of the task with the fewest orders. None also if all orders begin alike."""


class OrderTestPower:
    """The power of the test of order on one target, for permutations of the same tasks with several seeds each."""

    def __init__(self, orders: Sequence[Order], seeds: int) -> None:
        rng = np.random.default_rng(0)
        self.seeds = seeds
        depths = range(1, len(orders[0]) + 1) if orders and seeds > 1 else ()
        strata = [forks for depth in depths if (forks := _count_forks(orders, depth))]
        self.df = np.array([sum((len(fork) - 1) * times for fork, times in forks.items()) for forks in strata], int)
        draws = [_draw_squares(forks, seeds, rng) for forks in strata]
        self.effect, self.error = np.array(draws).reshape(-1, 2, DRAWS).transpose(1, 0, 2)  # (strata, draws) each
        first = _count_forks(orders, 1) if depths else Counter()
        self.first_sizes = np.array(next(iter(first), ()), float)
        """The number of orders of every first task, ascending; empty if all orders begin alike."""
        self.first_noise = rng.standard_normal((DRAWS, len(self.first_sizes)))

    def of_order_sd(self, sd: float) -> float:
        """Return the power against effects of orders with this standard deviation.

        An order has its effect in every seed, so all sums of squares of effects grow by one factor.
        """
        return self._power((1 + self.seeds * sd**2) * self.effect)

    def of_first_task(self, points: float) -> float:
        """Return the power against an effect of one task being first."""
        means = self.first_noise / np.sqrt(self.first_sizes)
        means[:, 0] += points * math.sqrt(self.seeds)
        squares = ((means - means.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
        return self._power(np.vstack([squares, self.effect[1:]]))

    def _power(self, effect: np.ndarray) -> float:
        df, df_error = self.df[:, None], self.df[:, None] * (self.seeds - 1)
        log_p = stats.f.logsf(effect / df / (self.error / df_error), df, df_error).sum(axis=0)
        return float(np.mean(-2 * log_p >= stats.chi2.isf(ALPHA, 2 * len(df))))


def detectable_effects(orders: Sequence[Order], seeds: int) -> DetectableEffects:
    """Find the smallest effects that the test of order detects. orders: permutations of the same tasks."""
    power = OrderTestPower(orders, seeds)
    return DetectableEffects(
        _smallest_detected(power.of_order_sd) if len(power.df) else None,
        _smallest_detected(power.of_first_task) if len(power.first_sizes) else None,
    )


def _smallest_detected(power: Callable[[float], float]) -> float | None:
    if power(LARGEST) < POWER:
        return None
    low, high = 0.0, LARGEST
    while high - low > 0.01 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle) < POWER else (low, middle)
    return high


def _count_forks(orders: Sequence[Order], depth: int) -> Counter[tuple[int, ...]]:
    """Count the forks at a depth by the sizes of their branches: the numbers of orders, ascending."""
    branches = Counter(order[:depth] for order in orders)
    forks: dict[Order, list[int]] = {}
    for branch, size in branches.items():
        forks.setdefault(branch[:-1], []).append(size)
    return Counter(tuple(sorted(sizes)) for sizes in forks.values() if len(sizes) > 1)


def _draw_squares(forks: Counter[tuple[int, ...]], seeds: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw the sums of squares of effect and of error of one depth without any effect, DRAWS of each.

    forks: how many there are, by the sizes of their branches. Contrasts between the branches have as variances the
    eigenvalues of the covariance of branch means, centred; the contrasts of error repeat them in every further seed.
    """
    effect, error = np.zeros(DRAWS), np.zeros(DRAWS)
    for sizes, times in forks.items():
        centring = np.eye(len(sizes)) - 1 / len(sizes)
        for variance in np.linalg.eigvalsh(centring / sizes @ centring)[1:]:  # the smallest is that of the mean, zero
            effect += variance * rng.chisquare(times, DRAWS)
            error += variance * rng.chisquare(times * (seeds - 1), DRAWS)
    return [effect, error]
