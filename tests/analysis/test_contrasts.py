"""Effects of position, carry-over and recency, on sweeps whose effects are known."""

from itertools import permutations

import numpy as np
import pytest
from scipy.linalg import null_space

from simulate import FOUR, KINDS, THREE, simulate_all_orders, simulate_targets
from stiltwalk.analysis.cells import read_cells
from stiltwalk.analysis.contrasts import Estimability, assess_estimability, position_effects, recency_effects
from stiltwalk.analysis.effects import order_effects
from stiltwalk.sweep.designs import make_orders


def coverage(intervals):
    """The share of (interval, true value) in which the interval contains the true value."""
    return np.mean([interval["low"] <= true <= interval["high"] for interval, true in intervals])


def test_intervals_of_position_effects_cover_the_truth_when_runs_share_steps():
    truth = {"mnli": [0.6, 0.0, -0.6], "squad": [-0.2, -0.1, 0.3], "hellaswag": [-0.4, 0.1, 0.3]}
    cells = simulate_targets(THREE, 100, position=truth, seed_sd=1, step_sd=1)
    fits = [position_effects(cells, target) for target in cells.targets]
    intervals = [
        (fit["tasks"][task][place], truth[task][i])
        for fit in fits
        for task in THREE
        for i, place in enumerate(fit["tasks"][task])
    ]
    assert {fit["model"].split(":")[0] for fit in fits} == {"separate"}
    assert 0.92 < coverage(intervals) < 0.98


def test_carry_over_is_separated_from_position_in_all_orders_of_four():
    pairs = list(permutations(FOUR, 2))
    beyond = null_space(np.array([[p[side] == task for p in pairs] for side in (0, 1) for task in FOUR], float))
    carry = dict(zip(map(">".join, pairs), beyond @ np.linspace(-1, 1.5, beyond.shape[1]), strict=True))
    first = {task: [i - 1.5, 0, 0, 1.5 - i] for i, task in enumerate(FOUR)}
    cells = simulate_targets(FOUR, 50, position=first, carry_over=carry, seed_sd=1, step_sd=0.5)
    fits = [position_effects(cells, target) for target in cells.targets]
    assert {fit["model"].split(":")[0] for fit in fits} == {"joint"}
    for pair, effect in carry.items():
        assert np.mean([fit["carry_over"][pair]["effect"] for fit in fits]) == pytest.approx(effect, abs=0.15)
    assert 0.92 < coverage([(fit["carry_over"][pair], carry[pair]) for fit in fits for pair in carry]) < 0.995
    assert 0.92 < coverage([(fit["tasks"][t]["last"], first[t][-1]) for fit in fits for t in FOUR]) < 0.98


def test_four_orders_of_four_tasks_determine_no_effect_of_a_position():
    scores, validation = simulate_all_orders(FOUR)
    square = [
        "mnli,squad,qqp,hellaswag",
        "squad,hellaswag,mnli,qqp",
        "hellaswag,qqp,squad,mnli",
        "qqp,mnli,hellaswag,squad",
    ]
    study = order_effects(scores[scores.order.isin(square)], validation, FOUR, KINDS, draws=99)
    assert study["positions"]["xnli"]["tasks"]["mnli"]["first"]["effect"] is None
    assert study["positions"]["xnli"]["carry_over"]["mnli>squad"]["effect"] is None
    assert study["recency"]["targets"]["xquad"]["difference"] is not None


@pytest.mark.parametrize(
    ("design", "expected"),
    [
        ("all", Estimability(positions=4, pairs=12, joint=True)),
        ("williams", Estimability(positions=0, pairs=0, joint=False)),
        ("efficient:40", Estimability(positions=4, pairs=12, joint=True)),
        ("efficient:24", None),
        ("random:8", None),
    ],
)
def test_estimability_agrees_with_the_analysis_of_a_finished_sweep(design, expected):
    orders = [",".join(order) for order in make_orders(design, FOUR)]
    estimability = assess_estimability(orders, FOUR)
    assert expected is None or estimability == expected
    scores, validation = simulate_all_orders(FOUR, targets=["xnli"], seed_sd=1)
    cells = read_cells(scores[scores.order.isin(orders)], validation, FOUR, KINDS)
    analysis = position_effects(cells, "xnli")
    known = [all(np.isfinite(places[p]["effect"]) for p in ("first", "last")) for places in analysis["tasks"].values()]
    pairs = [np.isfinite(effect["effect"]) for effect in analysis["carry_over"].values()]
    assert estimability == Estimability(sum(known), sum(pairs), analysis["model"].startswith("joint"))


def test_intervals_of_recency_cover_the_effect_of_a_last_task_of_the_target_s_kind():
    last_squad = {"mnli": [0, 0, 0], "squad": [0, 0, 1], "hellaswag": [0, 0, 0]}
    cells = simulate_targets(THREE, 80, "qa", position=last_squad, step_sd=1)
    entries = recency_effects(cells)["targets"].values()
    assert len(entries) == 80
    assert 0.9 < coverage([(entry, 1.0) for entry in entries]) < 0.99
