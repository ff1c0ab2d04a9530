"""The permutation test of the order effect, with runs that share training permuted together."""

import itertools
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
from scipy import stats

from stiltwalk.analysis.anova import indicator_columns, orthonormal_basis
from stiltwalk.analysis.cells import split_order
from stiltwalk.sweep.trie import Order, count_distinct_permutations
from stiltwalk.utils.text import count

ALPHA = 0.05  # the significance level
TOLERANCE = 1e-9

Branch: TypeAlias = tuple[int, Order]
"""A seed and the first steps of an order: one node in the trie of that seed's runs."""
BranchKeys: TypeAlias = dict[Branch, np.ndarray]
"""Random numbers (draws,) for every branch, by which permutations are drawn."""


def explain_no_power(orders: Sequence[Order], seeds: int) -> str:
    """Say why the permutation test cannot reach ALPHA with so few runs, and how many seeds suffice; "" if it can."""
    permutations = count_distinct_permutations(orders, seeds)
    if len(orders) < 2 or permutations * ALPHA >= 1:
        return ""
    # Enough seeds always exist: below the deepest fork, orders of the same tasks have branches of the same shape.
    enough = next(n for n in itertools.count(2) if count_distinct_permutations(orders, n) * ALPHA >= 1)
    return (
        f"{len(orders)} orders with {count(seeds, 'seed')} cannot show that the order matters: "
        f"the smallest possible p is 1/{permutations}; use {enough} seeds or more"
    )


def draw_branch_keys(index: pd.MultiIndex, draws: int, rng: np.random.Generator) -> BranchKeys:
    """Draw the random numbers by which `permute_runs` sorts, for every branch of the runs (order, seed)."""
    runs = _list_runs(index)
    branches = {(seed, steps[:depth]) for seed, steps in runs for depth in range(1, len(steps) + 1)}
    return {branch: rng.random(draws) for branch in sorted(branches)}


def permute_runs(index: pd.MultiIndex, keys: BranchKeys) -> np.ndarray:
    """Permute the runs within their seeds, (draws, runs), and keep runs that share training together.

    Orders with a common prefix share the checkpoints of its steps. Within a seed, therefore, only whole branches of the
    same shape may be exchanged in the trie of orders, not single runs. The permutations are random automorphisms of
    each seed's trie (whole-block permutation, Winkler et al. 2015, in a tree). If no orders share a prefix, these are
    all permutations. The same keys give every target the same permutations, as far as the targets have the same runs.
    """
    runs = _list_runs(index)
    ranks = _rank_branch_shapes(runs)
    draws = len(next(iter(keys.values())))
    # Runs are sorted by seed and then, step by step, by the shape of their branch and its random key. Without the keys
    # the same sorting gives the slots: a branch can only move to the slots of a branch of the same shape.
    levels: list[np.ndarray] = [np.broadcast_to([float(seed) for seed, _ in runs], (draws, len(runs)))]
    slot_keys: list[tuple] = [(seed,) for seed, _ in runs]
    for depth in range(1, max(len(steps) for _, steps in runs) + 1):
        path = [(seed, steps[:depth]) for seed, steps in runs]
        levels.append(np.broadcast_to([float(ranks[branch]) for branch in path], (draws, len(runs))))
        levels.append(np.stack([keys[branch] for branch in path], axis=1))
        slot_keys = [(*key, ranks[branch], branch[1]) for key, branch in zip(slot_keys, path, strict=True)]
    slots = sorted(range(len(runs)), key=slot_keys.__getitem__)
    permuted = np.empty((draws, len(runs)), int)
    permuted[:, slots] = np.lexsort(levels[::-1], axis=-1)
    return permuted


def permutation_statistics(
    values: pd.Series, keys: BranchKeys, covariate: np.ndarray | None = None
) -> np.ndarray | None:
    """Return the F statistic of order given seed, observed (first) and permuted, as -log of its tail probability.

    On that scale, targets with different missing runs are comparable. With a covariate (one number per run), the
    residuals of seed and covariate are permuted (Freedman & Lane 1983), and F is that of order beyond both. None
    without degrees of freedom or if the scores do not differ.
    """
    if len(values) < 2:
        return None
    order, seed = (indicator_columns(values.index, level) for level in ("order", "seed"))
    reduced = orthonormal_basis(seed) if covariate is None else orthonormal_basis(seed, covariate[:, None])
    full = orthonormal_basis(order, seed)
    df, df_error = full.shape[1] - reduced.shape[1], len(values) - full.shape[1]
    y = values.to_numpy(float)
    y = y - reduced @ (reduced.T @ y)
    total = (y**2).sum()
    if df == 0 or df_error == 0 or total < TOLERANCE:
        return None
    permuted = y[np.vstack([np.arange(len(y)), permute_runs(values.index, keys)])]
    explained_full, explained_reduced = (((permuted @ basis) ** 2).sum(axis=1) for basis in (full, reduced))
    error = np.maximum(total - explained_full, TOLERANCE * total)
    f = (explained_full - explained_reduced) / df / (error / df_error)
    return -stats.f.logsf(f, df, df_error)


def p_value(statistics: np.ndarray | None, observed: float | None = None) -> float:
    """Return the share of the statistics that reach the observed one, by default the first; NaN without statistics."""
    if statistics is None:
        return np.nan
    return float(np.mean(statistics >= (statistics[0] if observed is None else observed) - TOLERANCE))


def family_wise_p_values(tests: Sequence[np.ndarray | None]) -> list[float]:
    """Adjust the p values of several targets by the largest statistic over them of each permutation.

    Westfall & Young 1993, single step. Exact if all targets have the same runs, otherwise approximate.
    """
    available = [test for test in tests if test is not None]
    largest = np.max(available, axis=0) if available else None
    return [p_value(largest, test[0]) if test is not None else np.nan for test in tests]


def _list_runs(index: pd.MultiIndex) -> list[Branch]:
    return [(seed, tuple(split_order(order))) for order, seed in index]


def _rank_branch_shapes(runs: Sequence[Branch]) -> dict[Branch, int]:
    """Number the shapes of the branches: two branches have the same number if their subtrees have the same shape."""
    branches = {(seed, steps[:depth]) for seed, steps in runs for depth in range(len(steps) + 1)}
    below: dict[Branch, list[str]] = {branch: [] for branch in branches}
    shapes: dict[Branch, str] = {}
    for seed, steps in sorted(branches, key=lambda branch: -len(branch[1])):  # deepest first
        shape = "".join(sorted(below[seed, steps])).join("()")
        shapes[seed, steps] = shape
        if steps:
            below[seed, steps[:-1]].append(shape)
    ranks = {shape: rank for rank, shape in enumerate(sorted(set(shapes.values())))}
    return {branch: ranks[shape] for branch, shape in shapes.items()}
