"""Looking at a sweep before it is complete, without more false alarms than one look has.

A sweep may be analysed at K looks, which are declared beforehand: look k takes the first k/K of the seeds, rounded up.
Each look spends a part of the significance level, by the spending function of Lan and DeMets (1983) that is like
O'Brien and Fleming's boundaries: little at first, most of it at the end. A look tests at what it spends itself. By
Bonferroni's inequality the false alarms of all looks together are at most 5 %, whatever the dependence between looks.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from scipy import stats

from stiltwalk.analysis.options import ALPHA
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.text import count

FUTILE = 0.2  # power of the complete sweep, for the largest effect that is not excluded, below which to stop


@dataclass(frozen=True)
class Look:
    """One of several declared looks at a sweep."""

    number: int
    of: int
    alpha: float
    """The level at which this look tests."""
    seeds: list[int]
    """The seeds that it analyses."""
    all_seeds: int
    """How many seeds the complete sweep has."""
    last_alpha: float
    """The level at which the last look tests."""


def find_look(looks: int, planned: Sequence[int], complete: Collection[int]) -> Look | None:
    """Return the latest look that the complete seeds of a sweep allow; None if the first is still to come.

    planned: the seeds of the sweep, in the sequence in which they run. Raises InputError for fewer looks than one, and
    for more looks than seeds, counting from the second seed: one seed cannot be tested.
    """
    most = max(len(planned) - 1, 1)
    if not 1 <= looks <= most:
        choice = "1" if most == 1 else f"a number from 1 to {most}"
        raise InputError(f"--looks is {looks}; with {count(len(planned), 'seed')}, it must be {choice}")
    sizes = [math.ceil(len(planned) * number / looks) for number in range(1, looks + 1)]
    done = next((place for place, seed in enumerate(planned) if seed not in complete), len(planned))
    number = sum(size <= done for size in sizes)
    if not number:
        return None
    spent = [spend_alpha(size / len(planned)) for size in (0, *sizes)]
    seeds = list(planned[: sizes[number - 1]])
    return Look(number, looks, spent[number] - spent[number - 1], seeds, len(planned), spent[-1] - spent[-2])


def spend_alpha(fraction: float) -> float:
    """Return the part of the significance level that is spent when this fraction of the seeds is complete."""
    if fraction <= 0:
        return 0.0
    return float(2 * stats.norm.sf(stats.norm.isf(ALPHA / 2) / math.sqrt(fraction)))


def final_power(order_sd: float, run_sd: float, orders: int, seeds: int, alpha: float) -> float:
    """Return the power of the F test of order (random effects) at level alpha after so many seeds.

    order_sd, run_sd: standard deviations of order effects and of a run, in points. NaN without noise.
    """
    if not run_sd > 0 or orders < 2 or seeds < 2:
        return math.nan
    df, df_error = orders - 1, (orders - 1) * (seeds - 1)
    critical = stats.f.isf(alpha, df, df_error)
    return float(stats.f.sf(critical / (1 + seeds * (order_sd / run_sd) ** 2), df, df_error))
