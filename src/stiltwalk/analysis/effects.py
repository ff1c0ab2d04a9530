"""The statistics of a sweep: does the order of intermediate tasks matter, for which target, and what in it?"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.power import TTestPower

from stiltwalk.analysis.anova import LEVEL, Keys, branch_keys, components, family_wise, order_means, order_test, tail
from stiltwalk.analysis.cells import ALL, Cells, among, read_cells, steps, t_interval
from stiltwalk.analysis.contrasts import positions, recency
from stiltwalk.utils.stage import tidy

POWER, POINTS = 0.8, 0.5
INTERVALS = "t over seeds; in positions and recency, the variance over seeds is pooled over like contrasts"


def order_effects(
    scores: pd.DataFrame,
    validation: pd.DataFrame,
    tasks: Sequence[str],
    kinds: Mapping[str, str],
    draws: int = 9999,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that a sweep says about orders, as JSON has it; null is what it cannot say.

    `scores` has the columns order (steps joined by commas, "" the baseline), seed, target, language, score (0 to 100);
    `validation` has English validation scores of the tuned targets: order, seed, target, score. `tasks` are the
    permuted tasks: orders proper are the permutations of all of them, all else is a control. `kinds` gives the kind of
    every task and target. The result does not depend on the order of rows, and with the same `seed` is the same.

    Intervals are t intervals over seeds, at 95 %. A percentile bootstrap of three seeds has ten distinct resamples and
    can reach no further than the smallest and largest seed, so that it covers the mean of normal noise three times in
    four at best; a t interval is wide at three seeds, but covers as it says if the noise is about normal.
    """
    cells = read_cells(scores, validation, tasks, kinds)
    rng = np.random.default_rng(seed)
    keys = branch_keys(among(cells.scores, cells.orders).index, draws, rng)
    columns = [*cells.targets, ALL]
    noise = {target: components(cells.of_orders(target)) for target in columns}
    return tidy(
        {
            "design": design(cells),
            "interval_method": INTERVALS,
            "orders": order_table(cells),
            "variance": variance(cells, noise, keys, draws),
            "positions": {target: positions(cells, target) for target in columns},
            "agreement": agreement(cells),
            "recency": recency(cells, keys),
            "best": {target: best(cells, target, noise[target]["run"], draws, rng) for target in columns},
            "detectable": {target: detectable(cells, target, noise[target]["run"]) for target in columns},
        }
    )


def design(cells: Cells) -> dict[str, Any]:
    """What was to be run, every order and control with every seed and target, and what of it is missing."""
    seeds = sorted(set(cells.scores.index.get_level_values("seed")))
    whole = cells.scores[cells.targets].reindex(pd.MultiIndex.from_product([cells.names, seeds]))
    missing = [
        {"order": steps(order), "seed": seed, "target": target}
        for (order, seed), row in whole.iterrows()
        for target in cells.targets
        if math.isnan(row[target])
    ]
    return {
        "tasks": cells.tasks,
        "orders": [steps(order) for order in cells.orders],
        "controls": [steps(order) for order in cells.names if order not in cells.orders],
        "seeds": seeds,
        "targets": cells.targets,
        "cells": {"present": whole.size - len(missing), "expected": whole.size},
        "missing": missing,
    }


def order_table(cells: Cells) -> list[dict[str, Any]]:
    """Mean, sd over seeds and 95 % t interval of every order and control, by target."""
    return [
        {
            "steps": steps(order),
            "control": order not in cells.orders,
            "scores": {target: t_interval(column) for target, column in among(cells.scores, [order]).items()},
        }
        for order in cells.names
    ]


def variance(cells: Cells, noise: Mapping[str, dict[str, float]], keys: Keys, draws: int) -> dict[str, Any]:
    """Components and shares of variance by target, and the permutation test of the order, p and family-wise p.

    `shares` are of a score in one language, `shares_of_mean` of the mean over languages, which languages do not vary.
    The family is the targets; "all", their mean, is no member of it. How runs are permuted: `study.anova.shuffles`.
    """
    tests = {target: order_test(cells.of_orders(target), keys) for target in noise}
    adjusted = dict(zip(cells.targets, family_wise([tests[target] for target in cells.targets]), strict=True))
    found: dict[str, Any] = {"permutations": draws, "targets": {}}
    for target, runs in noise.items():
        parts = runs | language_components(among(cells.languages[target], cells.orders) if target != ALL else None)
        found["targets"][target] = {
            "components": parts,
            "shares": shares(parts),
            "shares_of_mean": shares(runs),
            "p": tail(tests[target]),
            "p_family_wise": adjusted.get(target, math.nan),
        }
    return found


def shares(parts: Mapping[str, float]) -> dict[str, float]:
    """Each component's share of their sum, negative estimates as zero; NaN where one of order, seed, run is."""
    known = {name: max(value, 0.0) for name, value in parts.items() if not math.isnan(value)}
    total = sum(known.values()) if {"order", "seed", "run"} <= known.keys() else 0.0
    return {name: known.get(name, math.nan) / total if total > 0 else math.nan for name in parts}


def language_components(table: pd.DataFrame | None) -> dict[str, float]:
    """Variances of language, order x language, seed x language and the rest; rows are runs, columns languages.

    Languages are fixed, so that interactions with them sum to zero over languages, and the means over languages hold
    order, seed and run alone (the restricted mixed model; Searle, Casella & McCulloch 1992, ch. 4). All are variances
    of a single score: order, seed, run and these add up to its variance. NaN with one language.
    """
    names = ("language", "order_language", "seed_language", "rest")
    if table is None or table.shape[1] < 2 or table.empty:
        return dict.fromkeys(names, math.nan)
    within = components(table.sub(table.mean(axis=1), axis=0))
    found = (float(table.mean(axis=0).var(ddof=0)), within["order"], within["seed"], within["run"])
    return dict(zip(names, found, strict=True))


def agreement(cells: Cells) -> dict[str, Any]:
    """Do targets, and the languages of a target, rank the orders alike?

    Kendall's W, and tau of every two targets. Both are told without a p: their tests are of judges that err
    independently, and targets tuned from one encoder, or languages predicted by one model, do not. What a seed did to
    all of them counts as agreement too.
    """
    means = pd.DataFrame({target: order_means(cells.of_orders(target))[target] for target in cells.targets}).dropna()
    languages = {target: order_means(among(table, cells.orders)) for target, table in cells.languages.items()}
    pairs = []
    for one, other in combinations(means, 2):
        tau = stats.kendalltau(means[one], means[other]) if len(means) > 1 else None
        pairs.append({"targets": [one, other], "tau": tau and tau.statistic})
    return {
        "targets": concordance(means),
        "languages": {target: concordance(table.dropna()) for target, table in languages.items()},
        "pairs": pairs,
    }


def concordance(means: pd.DataFrame) -> dict[str, Any]:
    """Kendall's W of the judges (columns) over the orders (rows), corrected for ties; NaN below 2 judges, 3 orders."""
    orders, judges = means.shape
    w = math.nan
    if orders > 2 and judges > 1 and (np.ptp(means.to_numpy().round(9), axis=0) > 0).any():
        chi, _ = stats.friedmanchisquare(*means.to_numpy().round(9))
        w = chi / (judges * (orders - 1))
    return {"w": w, "orders": orders, "judges": judges}


def best(cells: Cells, target: str, noise: float, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    """The order that English validation chooses, its test score, and its gains: over none, the best single task, and
    all tasks in one step.

    Order and single task are chosen by the mean over seeds of the target's own validation or, without one, of that of
    all the tuned targets (`chosen_on`); gains are paired by seed. Validation and test are of the same runs, so that the
    luck of runs counts for the chosen order: `held_out_seed` chooses on the other seeds, for each seed, and is free of
    it. `range` is the best less the worst order on the test itself, which is more than zero by selection alone:
    `by_chance` is expected of as many equal orders.
    """
    own = [target] if target in cells.validation else list(cells.validation)
    criterion = cells.validation[own].mean(axis=1, skipna=False)
    test = cells.scores[target]
    order, single = choose(criterion, cells.orders), choose(criterion, cells.singles)
    chosen = [order] if order is not None else []
    return {
        "chosen_on": own,
        "order": steps(order) if order is not None else None,
        "validation": among(criterion, chosen).mean(),
        "test": t_interval(among(test, chosen)),
        "gain_over_baseline": t_interval(gain(test, order, "")),
        "single": single,
        "gain_over_single": t_interval(gain(test, order, single)),
        "gain_over_joint": t_interval(gain(test, order, cells.joint)),
        "held_out_seed": held_out(cells, criterion, test),
        "range": test_range(cells.of_orders(target), noise, draws, rng),
    }


def choose(criterion: pd.Series, candidates: Sequence[str]) -> str | None:
    """The candidate with the highest mean, adjusted for missing seeds; None where nothing is known of them."""
    means = order_means(among(criterion, candidates).dropna().rename("score"))["score"].dropna()
    return None if means.empty else str(means.round(9).idxmax())


def gain(test: pd.Series, order: str | None, other: str | None) -> pd.Series:
    """One order's score less another's, by seed, for the seeds that both have."""
    table = test.unstack("seed")
    if order not in table.index or other not in table.index:
        return pd.Series(dtype=float)
    return (table.loc[order] - table.loc[other]).dropna()


def held_out(cells: Cells, criterion: pd.Series, test: pd.Series) -> dict[str, Any]:
    """Mean gains over the seeds, each of orders chosen on the other seeds; no interval, for the choices overlap."""
    found: dict[str, list[float]] = {"gain_over_baseline": [], "gain_over_single": []}
    seeds = test.index.get_level_values("seed")
    for seed in sorted(set(seeds)):
        others = criterion[criterion.index.get_level_values("seed") != seed]
        order, single = choose(others, cells.orders), choose(others, cells.singles)
        found["gain_over_baseline"].extend(gain(test[seeds == seed], order, ""))
        found["gain_over_single"].extend(gain(test[seeds == seed], order, single))
    return {name: {"mean": float(np.mean(each)) if each else math.nan, "n": len(each)} for name, each in found.items()}


def test_range(values: pd.Series, noise: float, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    """The best and the worst order on the test, and the range expected of noise alone (variance `noise` a run)."""
    means = order_means(values.rename("score"))["score"].dropna().round(9)
    if len(means) < 2:
        return {"best": None, "worst": None, "difference": math.nan, "by_chance": math.nan, "optimistic": True}
    by_chance = np.ptp(rng.standard_normal((draws, len(means))), axis=1).mean()
    return {
        "best": steps(str(means.idxmax())),
        "worst": steps(str(means.idxmin())),
        "difference": means.max() - means.min(),
        "by_chance": by_chance * math.sqrt(noise * len(means) / len(values)),
        "optimistic": True,
    }


def detectable(cells: Cells, target: str, noise: float) -> dict[str, Any]:
    """What a paired t test of two orders can tell, over the seeds there are: 5 %, two-sided, power 80 %.

    `noise_sd` is that of one run within its order and seed; the difference of two has sqrt(2) times as much.
    `difference` is the smallest true one that shows, `seeds_for_half_a_point` the seeds that 0.5 points take. Runs that
    share steps differ by less: for them both are too large.
    """
    seeds = cells.of_orders(target).index.get_level_values("seed").nunique()
    spread = math.sqrt(2 * noise) if noise > 0 else math.nan
    known = seeds > 1 and spread > 0
    least = TTestPower().solve_power(nobs=seeds, alpha=LEVEL, power=POWER) * spread if known else math.nan
    return {
        "noise_sd": math.sqrt(noise) if noise >= 0 else math.nan,
        "seeds": seeds,
        "difference": least,
        "seeds_for_half_a_point": seeds_needed(POINTS / spread) if known else None,
    }


def seeds_needed(effect: float) -> int:
    """The fewest seeds at which a paired t test shows `effect` sd of the difference."""
    enough = math.ceil(((stats.norm.ppf(1 - LEVEL / 2) + stats.norm.ppf(POWER)) / effect) ** 2) + 10
    # For effects far beyond any doubt scipy's noncentral t is NaN: not below the power wanted.
    return 2 + bisect_left(range(2, enough), True, key=lambda n: not TTestPower().power(effect, n, LEVEL) < POWER)
