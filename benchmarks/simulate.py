"""Sweeps with known effects, to test the statistics on."""

from collections.abc import Mapping, Sequence
from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pandas as pd

from stiltwalk.analysis.cells import Cells, read_cells

THREE, FOUR = ["mnli", "squad", "hellaswag"], ["mnli", "squad", "hellaswag", "qqp"]
TARGETS = {"xnli": "pair", "udpos": "tagging", "xquad": "qa", "tatoeba": "retrieval"}
KINDS = {"mnli": "pair", "squad": "qa", "hellaswag": "choice", "qqp": "pair", **TARGETS}
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
    """Return the scores and validation scores of a sweep, as `order_effects` takes them; all in points.

    Fixed effects, only in permutations of all tasks: `position` gives a task's effect at each position, `carry_over`
    that of a pair of neighbours `previous>next`. Random effects, by target and normal with these sd: of each order, of
    each seed, of each (first steps, seed), which orders with a common prefix share (`step_sd`), and of each run. A
    language adds a constant and noise that cancels in the mean over languages.
    """
    n_targets = len(targets)
    branches = sorted({tuple(order.split(",")[:d]) for order in orders for d in range(1, order.count(",") + 1)})
    branch_effects = {branch: rng.normal(0, 1, (len(seeds), n_targets)) * step_sd for branch in branches}
    seed_effects = rng.normal(0, 1, (len(seeds), n_targets)) * seed_sd
    runs = []
    for order in orders:
        steps = order.split(",")
        fixed = 0.0
        if sorted(steps) == sorted(tasks):
            fixed += sum(position[task][i] for i, task in enumerate(steps)) if position else 0.0
            fixed += sum((carry_over or {}).get(f"{before}>{after}", 0.0) for before, after in pairwise(steps))
        shared = [branch_effects[tuple(steps[:d])] for d in range(1, len(steps))]
        order_effect = rng.normal(0, 1, n_targets) * order_sd
        run_effects = rng.normal(0, 1, (len(seeds), n_targets)) * noise_sd
        runs.append(70 + fixed + seed_effects + sum(shared) + (order_effect + run_effects))
    means = np.array(runs)
    language_effects = rng.normal(0, noise_sd, (*means.shape, len(languages)))
    language_effects += np.linspace(10, -10, len(languages)) if len(languages) > 1 else 0.0
    scores = means[..., None] + language_effects - language_effects.mean(axis=-1, keepdims=True)
    validation = means + rng.normal(0, noise_sd / 2, means.shape)
    levels: dict[str, list[Any]] = {"order": list(orders), "seed": list(seeds), "target": list(targets)}
    tuned = as_table(validation, levels)
    return as_table(scores, levels | {"language": list(languages)}), tuned[~tuned["target"].isin(UNTUNED)]


def as_table(values: np.ndarray, levels: Mapping[str, list]) -> pd.DataFrame:
    """Return one row per value, with its level of every axis."""
    index = pd.MultiIndex.from_product(levels.values(), names=list(levels))
    return pd.Series(values.ravel(), index, name="score").reset_index()


def all_orders(tasks: Sequence[str]) -> list[str]:
    """Return every permutation of the tasks."""
    return [",".join(order) for order in permutations(tasks)]


def simulate_all_orders(
    tasks: Sequence[str] = THREE,
    seed: int = 0,
    controls: Sequence[str] = (),
    targets: Sequence[str] = tuple(TARGETS),
    seeds: Sequence[int] = (1, 2, 3),
    languages: Sequence[str] = ("en", "de"),
    **effects: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the scores and validation scores of a sweep with every order of the tasks."""
    rng = np.random.default_rng(seed)
    return simulate(tasks, [*all_orders(tasks), *controls], seeds, targets, languages, rng=rng, **effects)


def simulate_targets(tasks: Sequence[str], number: int, kind: str = "pair", **effects: Any) -> Cells:
    """Return a sweep with so many targets, which serve as repetitions of the same experiment."""
    targets = [f"t{i:03d}" for i in range(number)]
    scores, validation = simulate_all_orders(tasks, targets=targets, languages=["en"], **effects)
    return read_cells(scores, validation, tasks, KINDS | dict.fromkeys(targets, kind))
