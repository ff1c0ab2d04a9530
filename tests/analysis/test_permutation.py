"""The permutation test of the order effect: its size, its power, and which runs it permutes together."""

from itertools import permutations

import numpy as np
import pandas as pd
from scipy import stats

from simulate import KINDS, THREE, all_orders, simulate_all_orders, simulate_targets
from stiltwalk.analysis.effects import order_effects
from stiltwalk.analysis.permutation import (
    draw_branch_keys,
    explain_no_power,
    family_wise_p_values,
    p_value,
    permutation_statistics,
    permute_runs,
)
from stiltwalk.sweep.trie import count_symmetries


def test_the_false_positive_rate_is_the_significance_level():
    cells = simulate_targets(THREE, 300, seed_sd=1, step_sd=1.5)
    rng = np.random.default_rng(1)
    families = np.reshape(cells.targets, (100, 3))
    single, adjusted = [], []
    for family in families:
        keys = draw_branch_keys(cells.scores.index, 99, rng)
        tests = [permutation_statistics(cells.order_scores(target), keys) for target in family]
        single += [p_value(test) <= 0.05 for test in tests]
        adjusted.append(min(family_wise_p_values(tests)) <= 0.05)
    assert 0.025 < np.mean(single) < 0.085  # 300 sweeps: 2.5 standard errors are 0.03
    assert np.mean(adjusted) < 0.11  # 100 families: 0.054


def test_a_clear_effect_is_significant_in_its_target_only():
    scores, validation = simulate_all_orders(noise_sd=0.3)
    scores.loc[(scores.target == "xquad") & scores.order.str.endswith("squad"), "score"] += 3
    study = order_effects(scores, validation, THREE, KINDS, draws=999)
    tests = study["variance"]["targets"]
    assert tests["xquad"]["p_family_wise"] < 0.01 and tests["xnli"]["p_family_wise"] > 0.05
    last = study["recency"]["targets"]["xquad"]
    assert 2 < last["low"] < 3 < last["high"] < 4 and last["share"] > 0.9 and last["p_remaining"] > 0.05


def test_runs_that_share_steps_are_permuted_together():
    orders = all_orders(THREE)
    index = pd.MultiIndex.from_product([orders, [1]], names=["order", "seed"])
    permuted = permute_runs(index, draw_branch_keys(index, 3000, np.random.default_rng(0)))
    first = np.array([name.split(",")[0] for name in index.get_level_values("order")])[permuted]
    partners = [i for i, name in enumerate(orders) if name.startswith("mnli")]
    assert (first[:, partners[0]] == first[:, partners[1]]).all()
    counts = np.unique(permuted, axis=0, return_counts=True)[1]
    assert len(counts) == 48 == count_symmetries(permutations(THREE))  # 3! ways for the first step, 2 for each second
    assert stats.chisquare(counts).pvalue > 0.001


def test_only_branches_of_the_same_shape_are_exchanged():
    orders = all_orders(THREE)[1:]
    index = pd.MultiIndex.from_product([orders, [1]], names=["order", "seed"])
    permuted = permute_runs(index, draw_branch_keys(index, 500, np.random.default_rng(0)))
    assert len(np.unique(permuted, axis=0)) == 8 == count_symmetries([*permutations(THREE)][1:])


def test_too_few_runs_for_significance_are_reported_with_the_seeds_that_suffice():
    pair = [("a", "b"), ("b", "a")]
    assert explain_no_power(pair, 3) == (
        "2 orders with 3 seeds cannot show that the order matters: the smallest possible p is 1/4; use 6 seeds or more"
    )
    assert explain_no_power(pair, 6) == ""
    assert explain_no_power(pair[:1], 3) == ""  # nothing to compare
    assert explain_no_power([*permutations("abc")], 2) == ""
    assert "with 1 seed cannot" in explain_no_power([*permutations("abc")], 1)
