"""What a design of orders will be able to answer, before anything runs."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stiltwalk.analysis.anova import variance_components
from stiltwalk.analysis.contrasts import Estimability, assess_estimability
from stiltwalk.analysis.design_power import LARGEST, detectable_effects
from stiltwalk.analysis.settings import group_by_settings, targets_of
from stiltwalk.analysis.tables import score_tables
from stiltwalk.sweep.designs import MAX_BUDGET
from stiltwalk.sweep.efficient import symmetric_batches
from stiltwalk.sweep.experiments import Experiment
from stiltwalk.sweep.trie import Order, count_trainings
from stiltwalk.utils.text import count

INSENSITIVE = 10.0  # a design that detects no effect below so many standard deviations of a run gets a warning


@dataclass(frozen=True)
class RunNoise:
    """The noise of runs of one order, without what all runs of a seed share."""

    sds: Mapping[str, float]
    """Standard deviation by target, in points."""
    experiments: int
    """The experiments from which they are estimated."""


def estimate_noise(planned: Sequence[Mapping[str, Any]], experiments: Sequence[Experiment]) -> RunNoise | None:
    """Estimate the noise of a planned sweep from experiments with the same settings, grouped as src/compare.py does.

    planned: the parameters of the experiments of the sweep. experiments: oldest first; orders of one step do not count.
    Returns None if no two orders have two seeds in common.
    """
    sweep = [Experiment("", "", "", dict(params), {}, {}) for params in planned]
    members = group_by_settings([*sweep, *experiments])[0].members
    scores = score_tables([one for one in members if one.cells and len(one.order) > 1]).scores
    scores = scores.drop_duplicates(["order", "seed", "target", "language"], keep="last")
    table = scores.groupby(["order", "seed", "target"])["score"].mean().unstack("target")
    variances = {name: variance_components(table[name].dropna()).run for name in targets_of(sweep[0]) if name in table}
    sds = {name: variance**0.5 for name, variance in variances.items() if variance > 0}
    return RunNoise(sds, len(table)) if sds else None


def describe_design(orders: Sequence[Order], seeds: int, noise: RunNoise | None = None) -> Iterator[str]:
    """Yield sentences on what orders of two steps or more can answer, and how large an effect they detect.

    If the orders permute several sets of tasks, the sentences are about the set that src/compare.py tests by default.
    """
    sets = Counter(frozenset(order) for order in orders)
    if not sets:
        yield "No order has two tasks, so there is nothing to compare; name two tasks or more."
        return
    tested = max((times, len(tasks), sorted(tasks)) for tasks, times in sets.items())[2]
    if len(sets) > 1:
        yield (
            f"The orders permute {len(sets)} sets of tasks. src/compare.py tests one of them (--tasks); the others "
            f"count as controls. About the orders of {', '.join(tested)}:"
        )
    own = [order for order in orders if sorted(order) == tested]
    if len(own) < 2:
        yield "There is one order, so there is nothing to compare; use a design with more orders."
    else:
        estimable = _assess(own)
        yield _describe_answers(estimable, tested)
        yield from _describe_power(own, seeds, noise)
        if len(sets) == 1 and (sentence := _describe_richer_design(estimable, len(tested), count_trainings(own))):
            yield sentence


def _assess(orders: Sequence[Order]) -> Estimability:
    return assess_estimability([",".join(order) for order in orders], sorted(orders[0]))


def _describe_answers(estimable: Estimability, tasks: Sequence[str]) -> str:
    if len(tasks) == 2:
        return f"This design answers one question: which of {tasks[0]} and {tasks[1]} should come first."
    if not estimable.positions:
        return "This design answers only whether the order matters, not which position or neighbour makes a difference."
    return f"This design answers whether the order matters, and estimates {_list_effects(estimable, len(tasks))}."


def _list_effects(estimable: Estimability, n: int) -> str:
    effects = f"the effects of being first and last for {estimable.positions} of {n} tasks"
    conditions = ["all positions between first and last have the same effect"] if estimable.middle_alike else []
    if estimable.pairs:
        effects += f" and the carry-over of {estimable.pairs} of {n * (n - 1)} ordered neighbours"
    else:
        conditions.append("there is no carry-over between neighbours")
    return effects + (f", provided that {' and '.join(conditions)}" if conditions else "")


def _describe_power(orders: Sequence[Order], seeds: int, noise: RunNoise | None) -> Iterator[str]:
    if seeds < 2:
        yield "With 1 seed no effect of order can be told apart from noise; use 3 seeds or more."
        return
    detectable = detectable_effects(orders, seeds)
    yield f"With {seeds} seeds, the test of order on one target has a power of 80 % (at the 5 % level) against:"
    if len(orders[0]) == 2:
        yield f"- a difference between the two orders of {_in_points(detectable.first, noise)}"
    else:
        yield f"- order effects with a standard deviation of {_in_points(detectable.order_sd, noise)}"
        if detectable.first is not None:
            yield f"- an effect of one task being first of {_in_points(detectable.first, noise)}"
        if detectable.first is not None and len({order[0] for order in orders}) < len(orders):
            yield (
                "  (for orders that share no noise; those of a sweep share the checkpoint after their first step, and "
                "where its noise is as large as that of the rest, this power is 40 to 65 %)"
            )
    if noise:
        yield f"The noise is estimated from {count(noise.experiments, 'experiment')} with the same settings."
    else:
        yield "The noise is not known yet: no two orders with these settings have run with the same two seeds."
    if len({order[0] for order in orders}) == 1:
        yield f"All orders begin with {orders[0][0]}, so no effect of the first task can be seen."
    elif detectable.first is None or detectable.first > INSENSITIVE:
        yield f"Even effects of {INSENSITIVE:g} times the standard deviation of a run can go unnoticed; use more seeds."


def _in_points(effect: float | None, noise: RunNoise | None) -> str:
    """Express an effect in standard deviations of a run, and in points where the noise is known."""
    if effect is None:
        return f"more than {LARGEST:g} times the standard deviation of a run"
    relative = f"{effect:.1f} times the standard deviation of a run"
    if noise is None:
        return relative
    low, high = (f"{effect * sd:.1f}" for sd in (min(noise.sds.values()), max(noise.sds.values())))
    return f"{relative}, {low} points" if low == high else f"{relative}, {low} to {high} points depending on the target"


def _describe_richer_design(known: Estimability, n: int, trainings: int) -> str | None:
    """Name the best `efficient:N` for the same trainings or fewer, or else the cheapest one, that answers more."""
    richest = (n, n * (n - 1) if n > 3 else 0, True)
    found, best = None, _rank(known)
    orders: list[Order] = []
    for cost, batch in symmetric_batches(n) if n > 2 and best < richest else ():
        if cost > MAX_BUDGET or (cost > trainings and found) or best == richest:
            break
        orders += [tuple(f"{task:02}" for task in order) for order in batch.tolist()]
        estimable = _assess(orders)
        if _rank(estimable) > best:
            found, best = (cost, estimable), _rank(estimable)
    if found is None:
        return None
    cost, estimable = found
    return (
        f"efficient:{cost} answers more, with {cost} trainings per seed (this design has {trainings}): "
        f"{_list_effects(estimable, n)}."
    )


def _rank(estimable: Estimability) -> tuple[int, int, bool]:
    return estimable.positions, estimable.pairs, not estimable.middle_alike
