"""Sweeps with known effects, to try the statistics on."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

UNTUNED = ("bucc2018", "tatoeba")


def simulate(
    tasks: Sequence[str],
    orders: Sequence[str],
    seeds: Sequence[int],
    targets: Sequence[str],
    languages: Sequence[str],
    *,
    position: Mapping[str, Sequence[float]] | None = None,
    carry_over: Mapping[str, float] | None = None,
    order_sd: float = 0.0,
    seed_sd: float = 0.0,
    step_sd: float = 0.0,
    noise_sd: float = 1.0,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and validation of a sweep, as `study.effects.order_effects` takes them; all in points.

    `position` gives a task's effect at each position, `carry_over` that of a pair of neighbours `previous>next`, both
    only in permutations of all tasks. By target, normal with these sd: an effect of each order, of each seed, of each
    (first steps, seed), which orders that begin alike share (`step_sd`), and of each run. A language adds a constant
    and noise that cancels in the mean over languages.
    """
    size = len(targets)
    branches = sorted({tuple(order.split(",")[:d]) for order in orders for d in range(1, order.count(",") + 1)})
    shared = {branch: rng.normal(0, 1, (len(seeds), size)) * step_sd for branch in branches}
    of_seed = rng.normal(0, 1, (len(seeds), size)) * seed_sd
    runs = []
    for order in orders:
        steps = order.split(",")
        known = 0.0
        if sorted(steps) == sorted(tasks):
            known += sum(position[task][i] for i, task in enumerate(steps)) if position else 0.0
            known += sum((carry_over or {}).get(f"{a}>{b}", 0.0) for a, b in pairwise(steps))
        begun = [shared[tuple(steps[:d])] for d in range(1, len(steps))]
        own = rng.normal(0, 1, size) * order_sd + rng.normal(0, 1, (len(seeds), size)) * noise_sd
        runs.append(70 + known + of_seed + sum(begun) + own)
    means = np.array(runs)
    spread = rng.normal(0, noise_sd, (*means.shape, len(languages)))
    spread += np.linspace(10, -10, len(languages)) if len(languages) > 1 else 0.0
    scores = means[..., None] + spread - spread.mean(axis=-1, keepdims=True)
    validation = means + rng.normal(0, noise_sd / 2, means.shape)
    levels: dict[str, list[Any]] = {
        "order": list(orders),
        "seed": list(seeds),
        "target": list(targets),
        "language": list(languages),
    }
    tuned = as_table(validation, {name: levels[name] for name in ("order", "seed", "target")})
    return as_table(scores, levels), tuned[~tuned["target"].isin(UNTUNED)]


def as_table(values: np.ndarray, levels: Mapping[str, list]) -> pd.DataFrame:
    """One row a value, with its level of every axis."""
    index = pd.MultiIndex.from_product(levels.values(), names=list(levels))
    return pd.Series(values.ravel(), index, name="score").reset_index()
