"""What plan says that a design can answer."""

from dataclasses import replace

import pytest
from test_settings_groups import make_experiment

from stiltwalk.analysis.design_power import OrderTestPower
from stiltwalk.analysis.forecast import RunNoise, describe_design, estimate_noise
from stiltwalk.sweep.designs import make_orders
from stiltwalk.sweep.experiments import Experiment

ONLY_WHETHER = "This design answers only whether the order matters, not which position or neighbour makes a difference."
ALIKE, NO_CARRY_OVER = (
    "all positions between first and last have the same effect",
    "there is no carry-over between neighbours",
)
POWER = "With 3 seeds, the test of order on one target has a power of 80 % (at the 5 % level) against:"
SHARED = (
    "  (for orders that share no noise; those of a sweep share the checkpoint after their first step, and where its "
    "noise is as large as that of the rest, this power is 40 to 65 %)"
)
UNKNOWN = "The noise is not known yet: no two orders with these settings have run with the same two seeds."
WARNINGS = ("nothing to compare", "told apart from noise", "can be seen", "can go unnoticed")


def estimates(n: int, pairs: bool = False, *conditions: str) -> str:
    neighbours = f" and the carry-over of {n * (n - 1)} of {n * (n - 1)} ordered neighbours" if pairs else ""
    provided = f", provided that {' and '.join(conditions)}" if conditions else ""
    return f"the effects of being first and last for {n} of {n} tasks{neighbours}{provided}."


def answers(*arguments) -> str:
    return f"This design answers whether the order matters, and estimates {estimates(*arguments)}"


def richer(budget: int, trainings: int, *arguments) -> str:
    return (
        f"efficient:{budget} answers more, with {budget} trainings per seed (this design has {trainings}): "
        f"{estimates(*arguments)}"
    )


def sentences(design: str, n: int, seeds: int = 3, noise: RunNoise | None = None) -> list[str]:
    return [*describe_design([order for order in make_orders(design, "abcde"[:n]) if len(order) > 1], seeds, noise)]


def detects(order_sd: float, first: float, *, is_shared: bool = True) -> list[str]:
    of_a_run = "times the standard deviation of a run"
    return [
        POWER,
        f"- order effects with a standard deviation of {order_sd} {of_a_run}",
        f"- an effect of one task being first of {first} {of_a_run}",
        *([SHARED] if is_shared else []),
        UNKNOWN,
    ]


@pytest.mark.parametrize(
    ("design", "n", "expected"),
    [
        ("all", 3, [answers(3, False, NO_CARRY_OVER), *detects(1.6, 3.2)]),
        (
            "williams",
            4,
            [ONLY_WHETHER, *detects(2.1, 3.1, is_shared=False), richer(24, 16, 4, False, ALIKE, NO_CARRY_OVER)],
        ),
        (
            "latin",
            4,
            [ONLY_WHETHER, *detects(2.1, 3.1, is_shared=False), richer(24, 16, 4, False, ALIKE, NO_CARRY_OVER)],
        ),
        ("random:6", 5, [ONLY_WHETHER, *detects(1.6, 3.6), richer(35, 27, 5, False, ALIKE, NO_CARRY_OVER)]),
        (
            "efficient:24",
            4,
            [answers(4, False, ALIKE, NO_CARRY_OVER), *detects(1.3, 2.7), richer(36, 24, 4, True, ALIKE)],
        ),
        ("efficient:40", 4, [answers(4, True, ALIKE), *detects(1.0, 2.6), richer(44, 36, 4, True)]),
        (
            "prefixes",
            3,
            [
                "The orders permute 4 sets of tasks. src/compare.py tests one of them (--tasks); the others count as "
                "controls. About the orders of a, b, c:",
                answers(3, False, NO_CARRY_OVER),
                *detects(1.6, 3.2),
            ],
        ),
        (
            "all",
            2,
            [
                "This design answers one question: which of a and b should come first.",
                POWER,
                "- a difference between the two orders of 4.6 times the standard deviation of a run",
                UNKNOWN,
            ],
        ),
    ],
)
def test_a_plan_says_what_the_design_answers(design, n, expected):
    assert sentences(design, n) == expected


def test_a_richer_design_for_no_more_trainings_is_preferred():
    """Where the same task is always last after a first one, the two effects cannot be separated."""
    latin = make_orders("latin", "abcde")
    orders = [*latin, *((a, c, b, d, e) for a, b, c, d, e in latin)]
    assert [*describe_design(orders, 3)][-1] == richer(35, 45, 5, False, ALIKE, NO_CARRY_OVER)


def test_a_plan_with_one_seed_or_one_order_says_that_it_answers_nothing():
    assert "With 1 seed no effect of order can be told apart from noise; use 3 seeds or more." in sentences("all", 3, 1)
    assert sentences("efficient:3", 3) == [
        "There is one order, so there is nothing to compare; use a design with more orders."
    ]
    assert sentences("all", 1) == ["No order has two tasks, so there is nothing to compare; name two tasks or more."]
    assert "All orders begin with a, so no effect of the first task can be seen." in [
        *describe_design([tuple("abc"), tuple("acb")], 3)
    ]


def test_a_design_without_a_warning_sees_a_large_effect_of_the_first_task():
    designs = [("all", 3), ("all", 2), ("latin", 3), ("williams", 4), ("efficient:24", 4), ("efficient:10", 5)]
    designs += [(f"random:{orders}", n) for orders in (2, 3, 4, 6) for n in (3, 4, 5)]
    silent = []
    for design, n in designs:
        for seeds in (1, 2, 3, 5):
            if not any(warning in line for line in sentences(design, n, seeds) for warning in WARNINGS):
                assert OrderTestPower(make_orders(design, "abcde"[:n]), seeds).of_first_task(10.0) > 0.5
                silent.append((design, n, seeds))
    assert len(silent) > 20 and ("random:2", 3, 2) not in silent


def test_effects_are_in_points_where_the_noise_is_known():
    lines = sentences("all", 3, noise=RunNoise({"xnli": 0.5, "tatoeba": 2.0}, 18))
    assert lines[2:] == [
        "- order effects with a standard deviation of 1.6 times the standard deviation of a run, 0.8 to 3.2 points "
        "depending on the target",
        "- an effect of one task being first of 3.2 times the standard deviation of a run, 1.6 to 6.3 points depending "
        "on the target",
        SHARED,
        "The noise is estimated from 18 experiments with the same settings.",
    ]


def scored(run: Experiment, seed: int, score: float) -> Experiment:
    targets = {"udpos": {"languages": {"en": score, "de": score + 2}, "validation": None}}
    return replace(run, params=run.params | {"seed": seed}, cells={"targets": targets})


def test_noise_comes_from_runs_with_the_same_settings_and_several_steps():
    one, other = make_experiment("one", ["mnli", "qqp"]), make_experiment("other", ["qqp", "mnli"])
    longer = make_experiment("longer", ["mnli", "qqp"], mnli={"training": {"epochs": 9}})
    planned = [one.params, other.params]
    runs = [scored(one, 1, 70), scored(one, 2, 71), scored(other, 1, 74), scored(other, 2, 73)]
    apart = [scored(longer, 1, 10), scored(longer, 2, 90), scored(make_experiment("single", ["mnli"]), 1, 5)]
    noise = estimate_noise(planned, [scored(one, 1, 99), *runs, *apart])  # the first one was repeated
    assert noise and noise.experiments == 4 and noise.sds == pytest.approx({"udpos": 1.0})
    assert estimate_noise(planned, runs[:2]) is None
    assert estimate_noise(planned, apart) is estimate_noise(planned, []) is None
