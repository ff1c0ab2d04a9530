"""Does the order of the tasks matter? F tests by strata of the tree of orders, combined over depths and over targets.

Orders that begin alike share the checkpoints of their common steps, and so the noise of these trainings. Their scores
form a tree in every seed: first tasks, second tasks below each first one, and so on. A difference between first tasks
is therefore compared with how first tasks vary between seeds, a difference between second tasks below a first one with
how these vary, as in the analysis of a split-plot experiment (Cochran and Cox 1957, ch. 7). Within a depth the means of
branches are taken for independent and normal with one variance; that is exact if branches of a depth have the same
number of orders. The p values of the depths come from independent contrasts and are combined by Fisher's method.

Over targets, whose scores share the noise of the same runs, the joint distribution comes from rotations (Langsrud 2005,
Statistics and Computing 15): without an effect, the contrasts of a depth are exchangeable under any rotation, and the
same rotation is applied to all targets.
"""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.linalg import null_space
from statsmodels.stats.multitest import multipletests

from stiltwalk.analysis.anova import orthonormal_basis
from stiltwalk.analysis.cells import split_order
from stiltwalk.analysis.options import ALPHA

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Stratum:
    """The contrasts of one depth of the tree: rows of weights over the runs."""

    effect: np.ndarray
    """Between branches that fork at this depth, adjusted for the seed."""
    error: np.ndarray
    """How the same branches differ from seed to seed."""


@dataclass(frozen=True)
class JointTest:
    """Tests over several targets, from the runs that have a score for all of them."""

    p: float
    """Of an effect on any target (nonparametric combination, Pesarin 2001): the sum of -log p over the targets, which
    sees effects on many of them, or the smallest p, which sees those on one; whichever is rarer among the rotations."""
    family_wise: dict[str, float]
    """By target, corrected for their number by the smallest p of every rotation (Westfall and Young 1993)."""
    runs: int
    """How many runs it uses."""


def find_strata(
    index: pd.MultiIndex, covariate: np.ndarray | None = None, *, independent: bool = False
) -> list[Stratum]:
    """Return the strata of the runs (order, seed) that have contrasts between branches and contrasts of error.

    covariate: one number per run; contrasts that it explains are left out of the effects. independent: orders share no
    checkpoints, and so are the branches of a single fork.
    """
    strata = _find_strata(tuple(index), independent)
    if covariate is None:
        return list(strata)
    remaining = []
    for stratum in strata:
        direction = stratum.effect @ covariate
        if np.linalg.norm(direction) > TOLERANCE:
            stratum = Stratum(null_space(direction[None]).T @ stratum.effect, stratum.error)
        if len(stratum.effect):
            remaining.append(stratum)
    return remaining


@functools.lru_cache(maxsize=64)
def _find_strata(index: tuple[tuple[str, int], ...], independent: bool) -> tuple[Stratum, ...]:
    """Return the strata of the runs; most targets have the same runs."""
    runs = [((order,) if independent else tuple(split_order(order)), seed) for order, seed in index]
    strata = []
    for depth in range(1, max((len(steps) for steps, _ in runs), default=0) + 1):
        effects, errors = [], []
        for fork in sorted({steps[: depth - 1] for steps, _ in runs if len(steps) >= depth}):
            cells: dict[tuple[str, int], list[int]] = {}
            for number, (steps, seed) in enumerate(runs):
                if steps[: depth - 1] == fork and len(steps) >= depth:
                    cells.setdefault((steps[depth - 1], seed), []).append(number)
            effect, error = _fork_contrasts(cells, len(runs))
            effects.append(effect)
            errors.append(error)
        stratum = Stratum(np.vstack(effects), np.vstack(errors))
        if len(stratum.effect) and len(stratum.error):
            strata.append(stratum)
    return tuple(strata)


def order_p_value(values: pd.Series, covariate: np.ndarray | None = None, *, independent: bool = False) -> float:
    """Return the p value of order for the scores of one target by (order, seed).

    covariate: one number per run; the test is of what it does not explain. independent: see `find_strata`. NaN if no
    two branches can be compared in two seeds, or if the scores do not differ.
    """
    strata = find_strata(values.index, covariate, independent=independent)
    y = values.to_numpy(float)
    if not strata or np.ptp(y) < TOLERANCE:
        return math.nan
    logs = [_log_p(*_sums_of_squares(stratum, y[:, None]), stratum)[0] for stratum in strata]
    return float(stats.chi2.sf(-2 * sum(logs), 2 * len(logs)))


def joint_test(
    table: pd.DataFrame, draws: int, rng: np.random.Generator, *, independent: bool = False
) -> JointTest | None:
    """Test order on all targets together, from the runs (order, seed) that have a score for each.

    table: one column per target. draws: the number of rotations. independent: see `find_strata`. None if nothing can be
    tested.
    """
    complete = table.dropna()
    complete = complete.loc[:, np.ptp(complete.to_numpy(float), axis=0) >= TOLERANCE] if len(complete) else complete
    strata = find_strata(complete.index, independent=independent) if len(complete.columns) else []
    if not strata:
        return None
    y = complete.to_numpy(float)
    logs = np.zeros((draws + 1, y.shape[1]))
    for stratum in strata:
        observed, total = _sums_of_squares(stratum, y)
        rotated = _rotate(stratum, y, draws, rng)
        logs += np.vstack([_log_p(observed, total, stratum), _log_p(rotated, total, stratum)])
    p = stats.chi2.sf(-2 * logs, 2 * len(strata))
    together, smallest = -np.log(np.maximum(p, 1e-300)).sum(axis=1), p.min(axis=1)
    family_wise = [float(np.mean(smallest <= value + TOLERANCE)) for value in p[0]]
    rarer = np.minimum(_share_as_small(-together), _share_as_small(smallest))
    return JointTest(
        float(_share_as_small(rarer)[0]), dict(zip(complete.columns, family_wise, strict=True)), len(complete)
    )


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Return p values corrected for their number by Holm's method; NaN stays NaN."""
    known = {name: value for name, value in p.items() if not math.isnan(value)}
    adjusted = multipletests(list(known.values()), method="holm")[1] if known else []
    return dict.fromkeys(p, math.nan) | dict(zip(known, map(float, adjusted), strict=True))


def order_sd_interval(values: pd.Series) -> dict[str, float]:
    """Return the standard deviation of the effects of orders, in points, with a 95 % interval (`sd`, `low`, `high`).

    The interval inverts the F test of order in the model order + seed, with orders as random (Searle, Casella and
    McCulloch 1992, ch. 3). If orders happen to differ by less than noise alone explains, that alone would put the upper
    bound near 0, however noisy the runs are. The bound is therefore where so small an F is 40 times as rare as without
    any effect (the CLs method: Read 2002, Journal of Physics G 28); this never makes it smaller. NaN without degrees of
    freedom, and if the scores do not differ.
    """
    nothing = dict.fromkeys(("sd", "low", "high"), math.nan)
    order, seed = (_indicators(values.index.get_level_values(level)) for level in ("order", "seed"))
    if len(values) < 2 or np.ptp(values) < TOLERANCE:
        return nothing
    reduced, full = orthonormal_basis(seed), orthonormal_basis(order, seed)
    df, df_error = full.shape[1] - reduced.shape[1], len(values) - full.shape[1]
    if df < 1 or df_error < 1:
        return nothing
    y = values.to_numpy(float) - values.mean()
    of_full, of_reduced = (float(((y @ basis) ** 2).sum()) for basis in (full, reduced))
    mean_square, error = (of_full - of_reduced) / df, max(float((y**2).sum()) - of_full, 0.0) / df_error
    runs = len(values) / order.shape[1]  # per order

    as_small = stats.f.cdf(mean_square / error, df, df_error) if error > 0 else 1.0
    upper_quantile, lower_quantile = stats.f.ppf([0.975, 0.025 * as_small], df, df_error)
    quotients = {"sd": 1.0, "low": upper_quantile, "high": lower_quantile}
    return {name: math.sqrt(max(mean_square / q - error, 0.0) / runs) for name, q in quotients.items()}


def decide(p: float, upper: float, smallest: float, alpha: float | None = ALPHA) -> str:
    """Return `negligible`, `matters` or `undecided`.

    p: of the test of order, NaN without one. upper: the upper bound of the sd of order effects, NaN without one.
    smallest: the smallest sd of interest. alpha: the significance level; None if it is too early to decide. An effect
    that is surely smaller is negligible, even if it is significant.
    """
    if alpha is None:
        return "undecided"
    if upper < smallest:
        return "negligible"
    return "matters" if p <= alpha else "undecided"


def _fork_contrasts(cells: Mapping[tuple[str, int], Sequence[int]], runs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the contrasts of effect and of error between the branches of one fork.

    cells: by branch and seed, the numbers of the runs; their mean is one observation.
    """
    means = np.zeros((len(cells), runs))
    for row, members in enumerate(cells.values()):
        means[row, list(members)] = 1 / len(members)
    branch, seed = (_indicators([key[part] for key in cells]) for part in (0, 1))
    of_seed = orthonormal_basis(seed)
    within = branch - of_seed @ (of_seed.T @ branch)
    effect = orthonormal_basis(within) if np.abs(within).max(initial=0) > TOLERANCE else np.empty((len(cells), 0))
    error = null_space(np.hstack([of_seed, effect]).T)
    return effect.T @ means, error.T @ means


def _indicators(labels: Iterable[Any]) -> np.ndarray:
    """Return a column of 0 and 1 for every distinct label."""
    values = np.array(list(labels))
    columns: np.ndarray = (values[:, None] == np.unique(values)).astype(float)
    return columns


def _sums_of_squares(stratum: Stratum, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of squares of effect, and of effect and error together, by target (columns of y)."""
    effect, error = (((part @ y) ** 2).sum(axis=0) for part in (stratum.effect, stratum.error))
    return effect, effect + error


def _log_p(effect: np.ndarray, total: np.ndarray, stratum: Stratum) -> np.ndarray:
    """Return the log of the F test's p value from sums of squares."""
    df, df_error = len(stratum.effect), len(stratum.error)
    error = np.maximum(total - effect, TOLERANCE * np.maximum(total, TOLERANCE))
    return stats.f.logsf(effect / df / (error / df_error), df, df_error)


def _share_as_small(values: np.ndarray) -> np.ndarray:
    """Return for each value the share of all values that are as small, up to rounding."""
    share: np.ndarray = np.searchsorted(np.sort(values), values + TOLERANCE, side="right") / len(values)
    return share


def _rotate(stratum: Stratum, y: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return the sums of squares of effect after random rotations of all contrasts, (draws x targets).

    A uniform rotation of the contrasts Z leaves Z'Z as it is; the share that falls on the effects is a matrix-variate
    beta, which two Gaussian matrices give without drawing the rotation itself.
    """
    contrasts = np.vstack([stratum.effect, stratum.error]) @ y
    factor = np.linalg.qr(contrasts, mode="r")  # (rank x targets)
    size = len(factor)
    drawn = []
    for _ in range(draws):
        of_effect = rng.standard_normal((len(stratum.effect), size))
        of_error = rng.standard_normal((len(stratum.error), size))
        whole = of_effect.T @ of_effect + of_error.T @ of_error
        drawn.append(((of_effect @ np.linalg.solve(np.linalg.cholesky(whole).T, factor)) ** 2).sum(axis=0))
    return np.array(drawn)
