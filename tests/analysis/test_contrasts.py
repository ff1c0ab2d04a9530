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


def coverage(families):
    """The share of families of (interval, true value) in which every interval contains its true value."""
    return np.mean([all(one["low"] <= true <= one["high"] for one, true in family) for family in families])


def places_of(fit, truth):
    """The effects of position of a fit with their true values."""
    return [
        (effect, (truth[task][0], np.mean(truth[task][1:-1]), truth[task][-1])[number])
        for task, places in fit["tasks"].items()
        for number, effect in enumerate(places.values())
    ]


def test_all_intervals_of_position_cover_the_truth_at_once_when_runs_share_steps():
    truth = {"mnli": [0.6, 0.0, -0.6], "squad": [-0.2, -0.1, 0.3], "hellaswag": [-0.4, 0.1, 0.3]}
    cells = simulate_targets(THREE, 200, position=truth, seed_sd=1, step_sd=1)
    fits = [position_effects(cells, target) for target in cells.targets]
    assert all(fit["model"] == {"middle_alike": False, "carry_over": False} for fit in fits)
    assert all(fit["carry_over"] == {} for fit in fits)
    assert 0.91 < coverage([places_of(fit, truth) for fit in fits]) < 0.985


def test_intervals_of_a_single_effect_are_narrower_than_those_of_all_at_once():
    cells = simulate_targets(THREE, 200, seed_sd=1)
    effects = [position_effects(cells, target)["tasks"]["mnli"]["first"] for target in cells.targets]
    assert 0.91 < np.mean([effect["low_alone"] <= 0 <= effect["high_alone"] for effect in effects]) < 0.985
    assert np.mean([effect["low"] <= 0 <= effect["high"] for effect in effects]) > 0.975


def test_carry_over_is_separated_from_position_in_all_orders_of_four():
    pairs = list(permutations(FOUR, 2))
    beyond = null_space(np.array([[p[side] == task for p in pairs] for side in (0, 1) for task in FOUR], float))
    carry = dict(zip(map(">".join, pairs), beyond @ np.linspace(-1, 1.5, beyond.shape[1]), strict=True))
    place = {task: [i - 1.5, 0, 0, 1.5 - i] for i, task in enumerate(FOUR)}
    cells = simulate_targets(FOUR, 100, position=place, carry_over=carry, seed_sd=1, step_sd=0.5)
    fits = [position_effects(cells, target) for target in cells.targets]
    assert all(fit["model"] == {"middle_alike": False, "carry_over": True} for fit in fits)
    for pair, effect in carry.items():
        assert np.mean([fit["carry_over"][pair]["effect"] for fit in fits]) == pytest.approx(effect, abs=0.1)
    families = [[*places_of(fit, place), *((fit["carry_over"][pair], carry[pair]) for pair in carry)] for fit in fits]
    assert coverage(families) > 0.9


@pytest.mark.parametrize("design", ["all", "efficient:40"])
def test_an_effect_in_second_position_does_not_bias_the_others(design):
    """Where the orders tell all positions apart; otherwise the model says that it takes the middle ones as alike."""
    orders = [",".join(order) for order in make_orders(design, FOUR)]
    second = {task: [0.0, 2.0 * (task == "squad"), 0.0, 0.0] for task in FOUR}
    scores, validation = simulate_all_orders(FOUR, targets=["xnli"], position=second, noise_sd=1e-6)
    fit = position_effects(read_cells(scores[scores.order.isin(orders)], validation, FOUR, KINDS), "xnli")
    if not fit["model"]["middle_alike"]:
        effect = {task: {place: of["effect"] for place, of in places.items()} for task, places in fit["tasks"].items()}
        # The effect is the deviation from the means over positions and over tasks.
        assert effect["squad"]["first"] == pytest.approx(-0.375, abs=1e-4)
        assert effect["mnli"]["first"] == pytest.approx(0.125, abs=1e-4)
        assert effect["squad"]["middle"] == pytest.approx((1.125 - 0.375) / 2, abs=1e-4)


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
    assert study["positions"]["xnli"]["carry_over"] == {}
    assert study["recency"]["targets"]["xquad"]["difference"] is not None


@pytest.mark.parametrize(
    ("design", "expected"),
    [
        ("all", Estimability(positions=4, pairs=12, middle_alike=False)),
        ("williams", Estimability(positions=0, pairs=0, middle_alike=True)),
        ("efficient:40", None),
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
    assert estimability == Estimability(sum(known), sum(pairs), analysis["model"]["middle_alike"])


def test_recency_is_the_effect_of_a_last_task_of_the_target_s_kind():
    last_squad = {"mnli": [0, 0, 0], "squad": [0, 0, 1], "hellaswag": [0, 0, 0]}
    cells = simulate_targets(THREE, 80, "qa", position=last_squad, step_sd=1)
    recency = recency_effects(cells)
    differences = [entry["difference"] for entry in recency["targets"].values()]
    assert np.mean(differences) == pytest.approx(1.0, abs=0.3)
    assert recency["over_targets"]["low"] < 1.0 < recency["over_targets"]["high"]
    fit = position_effects(cells, "t000")  # with one task of the kind, the same contrast in another unit
    assert differences[0] == pytest.approx(2.25 * fit["tasks"]["squad"]["last"]["effect"])
