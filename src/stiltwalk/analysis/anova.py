"""Runs by order and seed, in two ways: components of variance, and the permutation test of the order."""

from collections.abc import Sequence
from itertools import count

import numpy as np
import pandas as pd
from scipy import stats
from scipy.linalg import orth

from stiltwalk.analysis.cells import steps
from stiltwalk.sweep.trie import Order, distinct

LEVEL = 0.05  # p at which a test is said to show something
Keys = dict[tuple[int, tuple[str, ...]], np.ndarray]


def too_few(orders: Sequence[Order], seeds: int) -> str:
    """Why the permutation test can show nothing of so few, and how many seeds would do; empty where it can."""
    if len(orders) < 2 or distinct(orders, seeds) * LEVEL >= 1:
        return ""
    # Of two orders or more at least 2 to the seeds: what lies below the deepest fork looks alike.
    enough = next(n for n in count(2) if distinct(orders, n) * LEVEL >= 1)
    return (
        f"{len(orders)} orders with {seeds} seed{'' if seeds == 1 else 's'} cannot show that the order matters: "
        f"p is 1/{distinct(orders, seeds)} at the least; {enough} seeds can"
    )


def indicators(index: pd.MultiIndex, level: str) -> np.ndarray:
    """Columns of 0 and 1, one for every order or seed."""
    return pd.get_dummies(index.get_level_values(level)).to_numpy(float)


def span(*columns: np.ndarray) -> np.ndarray:
    """An orthonormal basis of what these columns span."""
    return orth(np.hstack(columns))


def order_means(values: pd.DataFrame | pd.Series) -> pd.DataFrame:
    """Least-squares means of the orders, adjusted for the seeds that an order lacks; rows are orders.

    NaN where orders and seeds are not connected: then nothing tells an order from its seeds.
    """
    table = values.to_frame() if isinstance(values, pd.Series) else values
    orders = sorted(set(table.index.get_level_values("order")))
    if not orders:
        return pd.DataFrame(columns=table.columns, dtype=float)
    order, seed = (indicators(table.index, level) for level in ("order", "seed"))
    both = np.hstack([order, seed])
    if np.linalg.matrix_rank(both) < both.shape[1] - 1:
        return pd.DataFrame(np.nan, orders, table.columns)
    fitted = np.linalg.lstsq(both, table.to_numpy(float), rcond=None)[0]
    means = fitted[: len(orders)] + fitted[len(orders) :].mean(axis=0)
    return pd.DataFrame(means, orders, table.columns)


def components(values: pd.DataFrame | pd.Series) -> dict[str, float]:
    """Variances of order, seed and run (order x seed), by the method of moments; the mean over the columns.

    y = order + seed + run, all random, one run a cell, cells may be missing: the sums of squares of each factor given
    the other are set equal to their expectations (Henderson's method 3; Searle, Casella & McCulloch 1992, ch. 5). An
    estimate may be negative. NaN where a component cannot be told from the others, as with one seed.
    """
    table = values.to_frame() if isinstance(values, pd.Series) else values
    found = dict.fromkeys(("order", "seed", "run"), np.nan)
    if len(table) < 2:
        return found
    y = table.to_numpy(float) - table.to_numpy(float).mean(axis=0)
    factors = {level: indicators(table.index, level) for level in ("order", "seed")}
    both = span(*factors.values())
    df = len(y) - both.shape[1]
    if df == 0:
        return found
    explained = ((both.T @ y) ** 2).sum(axis=0)
    found["run"] = float(np.mean((y**2).sum(axis=0) - explained) / df)
    for level, other in (("order", "seed"), ("seed", "order")):
        rest = span(factors[other])
        rank = both.shape[1] - rest.shape[1]
        if rank:
            gained = np.mean(explained - ((rest.T @ y) ** 2).sum(axis=0))
            trace = ((both.T @ factors[level]) ** 2).sum() - ((rest.T @ factors[level]) ** 2).sum()
            found[level] = float((gained - rank * found["run"]) / trace)
    return found


def branch_keys(index: pd.MultiIndex, draws: int, rng: np.random.Generator) -> Keys:
    """`draws` random numbers for every (seed, first steps) of the runs: what `shuffles` sorts by."""
    runs = [(seed, steps(order)) for order, seed in index]
    branches = {(seed, tuple(run[:d])) for seed, run in runs for d in range(1, len(run) + 1)}
    return {branch: rng.random(draws) for branch in sorted(branches)}


def shuffles(index: pd.MultiIndex, keys: Keys) -> np.ndarray:
    """Permutations of the runs within their seeds, (draws, runs), that keep together what was trained together.

    Orders that begin alike share the checkpoints of those steps, so their runs of one seed are not exchangeable with
    any others, only by exchanging whole branches of the trie of orders that look alike: the permutations are random
    automorphisms of each seed's trie (whole-block permutation, Winkler et al. 2015, in a tree). Where no orders begin
    alike that is every permutation. The same keys give every target the same permutations, as far as the same runs are
    there.
    """
    runs = [(seed, tuple(steps(order))) for order, seed in index]
    branches = sorted({(seed, run[:d]) for seed, run in runs for d in range(len(run) + 1)}, key=lambda b: -len(b[1]))
    below: dict[tuple[int, tuple[str, ...]], list[str]] = {branch: [] for branch in branches}
    shape: dict[tuple[int, tuple[str, ...]], str] = {}
    for seed, branch in branches:  # deepest first
        shape[seed, branch] = "".join(sorted(below[seed, branch])).join("()")
        if branch:
            below[seed, branch[:-1]].append(shape[seed, branch])
    rank = {text: number for number, text in enumerate(sorted(set(shape.values())))}
    draws = len(next(iter(keys.values())))
    levels: list[np.ndarray] = [np.broadcast_to([float(seed) for seed, _ in runs], (draws, len(runs)))]
    fixed: list[tuple] = [(seed,) for seed, _ in runs]
    for depth in range(1, max(len(run) for _, run in runs) + 1):
        path = [(seed, run[:depth]) for seed, run in runs]
        levels += [np.broadcast_to([float(rank[shape[b]]) for b in path], (draws, len(runs)))]
        levels += [np.stack([keys[b] for b in path], axis=1)]
        fixed = [(*so_far, rank[shape[b]], b[1]) for so_far, b in zip(fixed, path, strict=True)]
    slots = sorted(range(len(runs)), key=fixed.__getitem__)
    permuted = np.empty((draws, len(runs)), int)
    permuted[:, slots] = np.lexsort(levels[::-1], axis=-1)
    return permuted


def order_test(values: pd.Series, keys: Keys, covariate: np.ndarray | None = None) -> np.ndarray | None:
    """The F of the order given the seed, observed (first) and permuted, as -log of its tail probability.

    On that scale targets with different missing runs compare. With a covariate (a number a run) the residuals of seed
    and covariate are permuted (Freedman & Lane 1983), and F is of the order beyond both. None where there are no
    degrees of freedom or the scores do not differ.
    """
    if len(values) < 2:
        return None
    order, seed = (indicators(values.index, level) for level in ("order", "seed"))
    reduced = span(seed) if covariate is None else span(seed, covariate[:, None])
    full = span(order, seed)
    df, df_error = full.shape[1] - reduced.shape[1], len(values) - full.shape[1]
    y = values.to_numpy(float)
    y = y - reduced @ (reduced.T @ y)
    total = (y**2).sum()
    if df == 0 or df_error == 0 or total < 1e-9:
        return None
    permuted = y[np.vstack([np.arange(len(y)), shuffles(values.index, keys)])]
    explained, known = (((permuted @ basis) ** 2).sum(axis=1) for basis in (full, reduced))
    error = np.maximum(total - explained, 1e-9 * total)
    return -stats.f.logsf((explained - known) / df / (error / df_error), df, df_error)


def tail(statistics: np.ndarray | None, observed: float | None = None) -> float:
    """The share of the statistics, the observed one among them, that reach the observed one; NaN of None."""
    if statistics is None:
        return np.nan
    return float(np.mean(statistics >= (statistics[0] if observed is None else observed) - 1e-9))


def family_wise(tests: Sequence[np.ndarray | None]) -> list[float]:
    """The p values adjusted for several targets: by the largest statistic over them of each permutation.

    Westfall & Young 1993, single step. Exact where all targets have the same runs; else nearly.
    """
    found = [test for test in tests if test is not None]
    largest = np.max(found, axis=0) if found else None
    return [tail(largest, test[0]) if test is not None else np.nan for test in tests]
