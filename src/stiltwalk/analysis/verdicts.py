"""The table of verdicts: whether order matters on all targets together, on each of them, and on their mean."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from stiltwalk.analysis.anova import VarianceComponents, language_components, variance_shares
from stiltwalk.analysis.cells import ALL, Cells, select_orders
from stiltwalk.analysis.noise import compare_noise
from stiltwalk.analysis.order_test import JointTest, decide, holm, joint_test, order_p_value, order_sd_interval


def analyse_variance(
    cells: Cells,
    components: Mapping[str, VarianceComponents],
    draws: int,
    rng: np.random.Generator,
    smallest: float,
    alpha: float | None,
) -> dict[str, Any]:
    """Return the test of order on all targets together, and by target components, shares, tests and verdicts.

    `shares` are of a score in one language, `shares_of_mean` of the mean over languages, which has no variance between
    languages. `order_sd` is the standard deviation of order effects with its interval, `noise` compares the noise of
    orders. The family of corrected p values consists of the targets, without their mean "all". Without an alpha nothing
    is tested.
    """
    table = pd.DataFrame({target: cells.order_scores(target) for target in cells.targets})
    tests = _test_table(table, draws, rng, cells.independent) if alpha is not None else {}
    targets: dict[str, dict[str, Any]] = {}
    for target, of_mean in components.items():
        values = cells.order_scores(target)
        languages = select_orders(cells.languages[target], cells.orders) if target != ALL else None
        of_score = asdict(of_mean) | language_components(languages)
        order_sd = order_sd_interval(values)
        p, corrected = tests.get(target, (math.nan, math.nan))
        if target == ALL and alpha is not None:
            p = order_p_value(values, independent=cells.independent)
        targets[target] = {
            "components": of_score,
            "shares": variance_shares(of_score),
            "shares_of_mean": variance_shares(asdict(of_mean)),
            "order_sd": order_sd,
            "noise": compare_noise(values),
            "p": p,
            "p_family_wise": corrected,
            "verdict": decide(p if target == ALL else corrected, order_sd["high"], smallest, alpha),
        }
    bounds = [targets[target]["order_sd"]["high"] for target in cells.targets]
    together = {"p": tests.get("", (math.nan,))[0], "upper": max(bounds, default=math.nan)}
    verdict = decide(together["p"], together["upper"], smallest, alpha)
    return {
        "rotations": draws,
        "smallest": smallest,
        "alpha": alpha,
        "together": together | {"verdict": verdict},
        "targets": targets,
    }


def check_sensitivity(
    cells: Cells, flagged: pd.Index, variance: Mapping[str, Any], draws: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Repeat the tests without flagged scores, and on ranks, which a single run cannot dominate.

    flagged: the (order, seed, target) of scores that something is wrong with. Ranks are over all orders and seeds of a
    target (Conover and Iman 1981); they have no points, so a verdict on them is `matters` or `undecided`.

    Returns, for both, the tests and `differs`: the targets whose verdict is another one, "" for all together.
    """
    alpha, smallest = variance["alpha"], variance["smallest"]
    table = pd.DataFrame({target: cells.order_scores(target) for target in cells.targets})
    if alpha is None or table.empty:
        return {}
    checks = {"ranks": (table.rank(), False)}
    kept = table.copy()
    for order, seed, target in flagged:
        if (order, seed) in kept.index and target in kept:
            kept.loc[(order, seed), target] = np.nan
    n_left_out = int(table.notna().sum().sum() - kept.notna().sum().sum())
    if n_left_out:
        checks["without_flagged"] = (kept, True)
    result: dict[str, Any] = {}
    for name, (values, in_points) in checks.items():
        tests = _test_table(values, draws, rng, cells.independent)
        entries = {}
        for target in ("", *cells.targets):
            p = tests[target][-1] if target in tests else math.nan
            upper = math.nan
            if in_points:
                uppers = [order_sd_interval(values[one].dropna())["high"] for one in ([target] if target else values)]
                upper = max(uppers)
            entries[target] = {"p": p, "verdict": decide(p, upper, smallest, alpha)}
        main = {"": variance["together"] | {"p_family_wise": variance["together"]["p"]}} | variance["targets"]
        differs = [
            target
            for target, entry in entries.items()
            if (entry["verdict"] == "matters") != _matters(main[target], in_points, alpha)
            or (in_points and entry["verdict"] != main[target]["verdict"])
        ]
        result[name] = {
            "scores_left_out": n_left_out if in_points else 0,
            "together": entries.pop(""),
            "targets": entries,
            "differs": differs,
        }
    return result


def _matters(entry: Mapping[str, Any], in_points: bool, alpha: float) -> bool:
    """Whether a verdict is `matters`; where there are no points to be negligible in, whether its p is significant."""
    if in_points:
        return bool(entry["verdict"] == "matters")
    return bool(entry["p_family_wise"] <= alpha)


def _test_table(
    table: pd.DataFrame, draws: int, rng: np.random.Generator, independent: bool
) -> dict[str, tuple[float, ...]]:
    """Return p and corrected p by target (the columns), and under "" the p of all together."""
    p = {target: order_p_value(table[target].dropna(), independent=independent) for target in table}
    joint = joint_test(table, draws, rng, independent=independent)
    corrected = _correct(p, joint)
    return {target: (p[target], corrected[target]) for target in p} | {"": (joint.p if joint else math.nan,)}


def _correct(p: Mapping[str, float], joint: JointTest | None) -> dict[str, float]:
    """Return p values corrected for the number of targets: by rotations, or by Holm's method without a joint test.

    A target with runs that others lack keeps its own p if that is larger.
    """
    if joint is None:
        return holm(p)
    return {target: max(value, joint.family_wise.get(target, math.nan)) for target, value in p.items()}
