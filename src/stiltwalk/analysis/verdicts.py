"""The table of verdicts: whether order matters on all targets together, on each of them, and on their mean."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from stiltwalk.analysis.anova import VarianceComponents, language_components, variance_shares
from stiltwalk.analysis.cells import ALL, Cells, select_orders
from stiltwalk.analysis.noise import compare_noise
from stiltwalk.analysis.order_test import TOLERANCE, decide, joint_test, order_p_value, order_sd_interval

TOGETHER = ""  # the key of all targets together
MOST = 0.9  # of the runs of a target, which a joint test has at least


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
    tests = run_tests(table if alpha is not None else table[[]], draws, rng, cells.independent)
    targets: dict[str, dict[str, Any]] = {}
    for target, of_mean in components.items():
        values = cells.order_scores(target)
        languages = select_orders(cells.languages[target], cells.orders) if target != ALL else None
        of_score = asdict(of_mean) | language_components(languages)
        order_sd = order_sd_interval(values)
        p, corrected = (one.get(target, math.nan) for one in (tests.p, tests.corrected))
        if target == ALL and alpha is not None:
            p = order_p_value(values, independent=cells.independent)
        targets[target] = {
            "components": of_score,
            "shares": variance_shares(of_score),
            "shares_of_mean": variance_shares(asdict(of_mean)),
            "order_sd": order_sd,
            "noise": compare_noise(values),
            "constant": len(values) > 1 and bool(np.ptp(values) < TOLERANCE),
            "p": p,
            "p_family_wise": corrected,
            "verdict": decide(p if target == ALL else corrected, order_sd["high"], smallest, alpha),
        }
    bounds = [targets[target]["order_sd"]["high"] for target in cells.targets]
    together: dict[str, Any] = {
        "p": tests.together,
        "runs": tests.runs,
        "targets": tests.targets,
        "apart": tests.apart,
        "upper": float(np.max(bounds)) if bounds else math.nan,
    }
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

    Returns, for both, the tests and `differs`: the targets whose verdict is another one, TOGETHER for all of them.
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
        tests = run_tests(values, draws, rng, cells.independent)
        entries = {}
        for target in (TOGETHER, *cells.targets):
            p = tests.together if target == TOGETHER else tests.corrected.get(target, math.nan)
            upper = math.nan
            if in_points:
                uppers = [order_sd_interval(values[one].dropna())["high"] for one in ([target] if target else values)]
                upper = float(np.max(uppers))
            entries[target] = {"p": p, "verdict": decide(p, upper, smallest, alpha)}
        main = {TOGETHER: variance["together"] | {"p_family_wise": variance["together"]["p"]}} | variance["targets"]
        differs = [
            target
            for target, entry in entries.items()
            if (entry["verdict"] == "matters") != _matters(main[target], in_points, alpha)
            or (in_points and entry["verdict"] != main[target]["verdict"])
        ]
        result[name] = {
            "scores_left_out": n_left_out if in_points else 0,
            "together": entries.pop(TOGETHER),
            "targets": entries,
            "differs": differs,
        }
    return result


def _matters(entry: Mapping[str, Any], in_points: bool, alpha: float) -> bool:
    """Whether a verdict is `matters`; where there are no points to be negligible in, whether its p is significant."""
    if in_points:
        return bool(entry["verdict"] == "matters")
    return bool(entry["p_family_wise"] <= alpha)


@dataclass(frozen=True)
class OrderTests:
    """Tests of order on several targets."""

    p: dict[str, float]
    """By target; NaN without a test."""
    corrected: dict[str, float]
    """By target, corrected for their number, and never smaller than `together`: where order matters on a target, it
    matters."""
    together: float
    """Of all targets; NaN without any test."""
    runs: int
    """How many runs the joint test of `targets` uses."""
    targets: list[str]
    apart: list[str]
    """Targets that lack too many of these runs, and are tested apart."""


def run_tests(table: pd.DataFrame, draws: int, rng: np.random.Generator, independent: bool) -> OrderTests:
    """Test order on each target (the columns), and on all of them together.

    The joint test needs runs that have a score for every target. Targets that would cost it many of them are tested
    apart, and Bonferroni's inequality joins the parts.
    """
    p = {target: order_p_value(table[target].dropna(), independent=independent) for target in table}
    targets, apart = _split_targets(table[[target for target, value in p.items() if not math.isnan(value)]])
    joint = joint_test(table[targets], draws, rng, independent=independent) if len(targets) > 1 else None
    family_wise = joint.family_wise if joint else {}
    n_parts = 1 + len(apart)
    corrected = {target: min(1.0, n_parts * value) for target, value in p.items() if target in [*targets[:1], *apart]}
    if joint:
        corrected |= {target: min(1.0, n_parts * max(p[target], family_wise.get(target, 1.0))) for target in targets}
    parts = [joint.p if joint else p.get(target, math.nan) for target in targets[:1]] + [p[target] for target in apart]
    together = min(1.0, n_parts * min(parts)) if parts else math.nan
    return OrderTests(
        p,
        {target: max(together, corrected[target]) if target in corrected else math.nan for target in p},
        together,
        joint.runs if joint else 0,
        targets,
        apart,
    )


def _split_targets(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the targets of a joint test, and those that it leaves out because they lack too many of its runs.

    The joint test has at least nine tenths of the runs of each of its targets. Whichever target costs most is left out
    first.
    """
    targets, apart = list(table), list[str]()
    while len(targets) > 1:
        scored = table[targets].notna()
        if scored.all(axis=1).sum() >= MOST * scored.sum().max():
            break
        costliest = max(targets, key=lambda one: scored.drop(columns=one).all(axis=1).sum())
        targets.remove(costliest)
        apart.append(costliest)
    return targets, sorted(apart)
