"""The statistics of a sweep, tried on sweeps whose effects are known."""

import json
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.linalg import null_space
from simulate import simulate

from stiltwalk.analysis.anova import branch_keys, components, family_wise, order_means, order_test, shuffles, tail
from stiltwalk.analysis.cells import read_cells
from stiltwalk.analysis.contrasts import determined, positions, recency
from stiltwalk.analysis.effects import concordance, detectable, order_effects
from stiltwalk.scoring.retention import retention_measures
from stiltwalk.sweep.designs import make_orders
from stiltwalk.sweep.trie import symmetries
from stiltwalk.utils.errors import InputError

THREE, FOUR = ["mnli", "squad", "hellaswag"], ["mnli", "squad", "hellaswag", "qqp"]
TARGETS = {"xnli": "pair", "udpos": "tagging", "xquad": "qa", "tatoeba": "retrieval"}
KINDS = {"mnli": "pair", "squad": "qa", "hellaswag": "choice", "qqp": "pair", **TARGETS}


def orders(tasks):
    return [",".join(order) for order in permutations(tasks)]


def sweep(tasks=THREE, seed=0, controls=(), targets=tuple(TARGETS), seeds=(1, 2, 3), languages=("en", "de"), **effects):
    rng = np.random.default_rng(seed)
    return simulate(tasks, [*orders(tasks), *controls], seeds, targets, languages, rng=rng, **effects)


def many(tasks, number, kind="pair", **effects):
    """As many sweeps as targets, for how often something holds."""
    targets = [f"t{i:03d}" for i in range(number)]
    scores, validation = sweep(tasks, targets=targets, languages=["en"], **effects)
    return read_cells(scores, validation, tasks, KINDS | dict.fromkeys(targets, kind))


def analysed(scores, validation, tasks=THREE, draws=99):
    found = order_effects(scores, validation, tasks, KINDS, draws=draws)
    json.dumps(found, allow_nan=False)
    return found


def share_inside(truth):
    """Of intervals, (interval, true value) each."""
    return np.mean([found["low"] <= true <= found["high"] for found, true in truth])


def test_position_effects_are_in_their_intervals_whatever_runs_share():
    truth = {"mnli": [0.6, 0.0, -0.6], "squad": [-0.2, -0.1, 0.3], "hellaswag": [-0.4, 0.1, 0.3]}
    cells = many(THREE, 100, position=truth, seed_sd=1, step_sd=1)
    fits = [positions(cells, target) for target in cells.targets]
    inside = [(fit["tasks"][t][p], truth[t][i]) for fit in fits for t in THREE for i, p in enumerate(fit["tasks"][t])]
    assert {fit["model"].split(":")[0] for fit in fits} == {"separate"}
    assert 0.92 < share_inside(inside) < 0.98


def test_carry_over_is_told_from_position_in_all_orders_of_four():
    pairs = list(permutations(FOUR, 2))
    beyond = null_space(np.array([[p[side] == task for p in pairs] for side in (0, 1) for task in FOUR], float))
    carry = dict(zip(map(">".join, pairs), beyond @ np.linspace(-1, 1.5, beyond.shape[1]), strict=True))
    first = {task: [i - 1.5, 0, 0, 1.5 - i] for i, task in enumerate(FOUR)}
    cells = many(FOUR, 50, position=first, carry_over=carry, seed_sd=1, step_sd=0.5)
    fits = [positions(cells, target) for target in cells.targets]
    assert {fit["model"].split(":")[0] for fit in fits} == {"joint"}
    for pair, effect in carry.items():
        assert np.mean([fit["carry_over"][pair]["effect"] for fit in fits]) == pytest.approx(effect, abs=0.15)
    assert 0.92 < share_inside([(fit["carry_over"][pair], carry[pair]) for fit in fits for pair in carry]) < 0.995
    assert 0.92 < share_inside([(fit["tasks"][t]["last"], first[t][-1]) for fit in fits for t in FOUR]) < 0.98


def test_four_orders_of_four_tasks_say_nothing_of_single_positions():
    scores, validation = sweep(FOUR)
    square = [
        "mnli,squad,qqp,hellaswag",
        "squad,hellaswag,mnli,qqp",
        "hellaswag,qqp,squad,mnli",
        "qqp,mnli,hellaswag,squad",
    ]
    found = analysed(scores[scores.order.isin(square)], validation, FOUR)
    assert found["positions"]["xnli"]["tasks"]["mnli"]["first"]["effect"] is None
    assert found["positions"]["xnli"]["carry_over"]["mnli>squad"]["effect"] is None
    assert found["recency"]["targets"]["xquad"]["difference"] is not None


@pytest.mark.parametrize(
    ("design", "told"),
    [
        ("all", {"positions": 4, "pairs": 12, "joint": True}),
        ("williams", {"positions": 0, "pairs": 0, "joint": False}),
        ("efficient:40", {"positions": 4, "pairs": 12, "joint": True}),
        ("efficient:24", None),
        ("random:8", None),
    ],
)
def test_a_design_says_before_it_runs_what_its_analysis_will_determine(design, told):
    chosen = [",".join(order) for order in make_orders(design, FOUR)]
    found = determined(chosen, FOUR)
    assert told is None or found == told
    scores, validation = sweep(FOUR, targets=["xnli"], seed_sd=1)
    analysis = positions(read_cells(scores[scores.order.isin(chosen)], validation, FOUR, KINDS), "xnli")
    known = [all(np.isfinite(places[p]["effect"]) for p in ("first", "last")) for places in analysis["tasks"].values()]
    pairs = [np.isfinite(effect["effect"]) for effect in analysis["carry_over"].values()]
    joint = analysis["model"].startswith("joint")
    assert (sum(known), sum(pairs), joint) == (found["positions"], found["pairs"], found["joint"])


def test_without_an_effect_the_order_is_significant_as_often_as_it_says():
    cells = many(THREE, 300, seed_sd=1, step_sd=1.5)
    rng = np.random.default_rng(1)
    families = np.reshape(cells.targets, (100, 3))
    single, adjusted = [], []
    for family in families:
        keys = branch_keys(cells.scores.index, 99, rng)
        tests = [order_test(cells.of_orders(target), keys) for target in family]
        single += [tail(test) <= 0.05 for test in tests]
        adjusted.append(min(family_wise(tests)) <= 0.05)
    assert 0.025 < np.mean(single) < 0.085  # 300 sweeps: 2.5 standard errors are 0.03
    assert np.mean(adjusted) < 0.11  # 100 families: 0.054


def test_a_clear_effect_is_significant_in_its_target_alone():
    scores, validation = sweep(noise_sd=0.3)
    scores.loc[(scores.target == "xquad") & scores.order.str.endswith("squad"), "score"] += 3
    found = analysed(scores, validation, draws=999)
    tests = found["variance"]["targets"]
    assert tests["xquad"]["p_family_wise"] < 0.01 and tests["xnli"]["p_family_wise"] > 0.05
    last = found["recency"]["targets"]["xquad"]
    assert 2 < last["low"] < 3 < last["high"] < 4 and last["share"] > 0.9 and last["p_remaining"] > 0.05


def test_runs_that_share_steps_are_permuted_together():
    index = pd.MultiIndex.from_product([orders(THREE), [1]], names=["order", "seed"])
    permuted = shuffles(index, branch_keys(index, 3000, np.random.default_rng(0)))
    first = np.array([name.split(",")[0] for name in index.get_level_values("order")])[permuted]
    partners = [i for i, name in enumerate(orders(THREE)) if name.startswith("mnli")]
    assert (first[:, partners[0]] == first[:, partners[1]]).all()
    counts = np.unique(permuted, axis=0, return_counts=True)[1]
    assert len(counts) == 48 == symmetries(permutations(THREE))  # 3! ways for the first step, 2 for each second
    assert stats.chisquare(counts).pvalue > 0.001
    without = index[index.get_level_values("order") != orders(THREE)[0]]
    assert len(np.unique(shuffles(without, branch_keys(without, 500, np.random.default_rng(0))), axis=0)) == 8
    assert symmetries([*permutations(THREE)][1:]) == 8


def test_components_of_variance_are_unbiased_with_missing_runs():
    cells = many(THREE, 300, order_sd=1, seed_sd=0.7, noise_sd=0.5)
    kept = cells.scores[cells.targets].drop(index=[(orders(THREE)[0], 1), (orders(THREE)[4], 3)])
    assert components(kept) == pytest.approx({"order": 1.0, "seed": 0.49, "run": 0.25}, rel=0.15)


def test_a_missing_run_of_an_exceptional_seed_does_not_move_its_order():
    index = pd.MultiIndex.from_product([sorted(orders(THREE)), [1, 2, 3]], names=["order", "seed"])
    values = pd.Series([70.0 + order + 10 * seed for order in range(6) for seed in range(3)], index, name="score")
    assert order_means(values.iloc[1:])["score"].to_list() == pytest.approx([80, 81, 82, 83, 84, 85])


def test_the_last_task_of_the_target_s_kind_is_in_its_interval():
    cells = many(THREE, 80, "qa", position={"mnli": [0, 0, 0], "squad": [0, 0, 1], "hellaswag": [0, 0, 0]}, step_sd=1)
    keys = branch_keys(cells.scores.index, 19, np.random.default_rng(0))
    found = recency(cells, keys)["targets"].values()
    assert 0.9 < share_inside([(entry, 1.0) for entry in found]) < 0.99


def test_rows_in_another_order_give_the_same():
    scores, validation = sweep(controls=["", "mnli", "null", "mnli+squad"], order_sd=1)
    scores = scores.drop(index=[3, 30])
    again = analysed(scores.sample(frac=1, random_state=1), validation.sample(frac=1, random_state=2))
    assert again == analysed(scores, validation)


def test_a_cell_that_lacks_a_language_is_missing():
    scores, validation = sweep(controls=[""])
    row = scores[(scores.order == "") & (scores.seed == 2) & (scores.target == "udpos") & (scores.language == "de")]
    found = analysed(scores.drop(index=row.index), validation)
    assert found["design"]["missing"] == [{"order": [], "seed": 2, "target": "udpos"}]
    assert found["design"]["cells"] == {"present": 83, "expected": 84}
    baseline = next(entry for entry in found["orders"] if not entry["steps"])
    assert [baseline["scores"][target]["n"] for target in ("udpos", "xnli", "all")] == [2, 3, 2]


@pytest.mark.parametrize(
    "rows", ["seed == 1", "target == 'xnli'", "order == ''", "order == 'mnli,squad,hellaswag'", "seed > 9"]
)
def test_what_cannot_be_estimated_is_null(rows):
    scores, validation = sweep(controls=["", "mnli"])
    found = analysed(scores.query(rows), validation.query(rows))
    for target in found["variance"]["targets"].values():
        assert (target["p"] is None) == ("target" not in rows)
    analysed(scores.query(rows).sample(frac=0.4, random_state=3), validation[:0])


def test_the_best_order_is_chosen_on_validation():
    scores, validation = sweep(controls=["", "mnli", "squad"], noise_sd=0.1)
    chosen, luckier = orders(THREE)[:2]
    validation.loc[(validation.order == chosen) & (validation.target == "xnli"), "score"] += 5
    validation.loc[(validation.order == "squad") & (validation.target == "xnli"), "score"] += 5
    scores.loc[scores.order == luckier, "score"] += 5
    scores.loc[scores.order == chosen, "score"] += 2
    best = analysed(scores, validation)["best"]
    assert best["xnli"]["order"] == chosen.split(",") and best["xnli"]["single"] == "squad"
    for gain in ("gain_over_baseline", "gain_over_single"):
        assert best["xnli"][gain]["mean"] == pytest.approx(2, abs=0.3)
        assert best["xnli"]["held_out_seed"][gain]["mean"] == best["xnli"][gain]["mean"]
    assert best["xnli"]["range"]["best"] == luckier.split(",") and best["xnli"]["range"]["difference"] > 4.5
    assert best["tatoeba"]["chosen_on"] == ["udpos", "xnli", "xquad"] and best["tatoeba"]["order"] == chosen.split(",")


def test_concordance_is_kendall_s_w():
    ranks = pd.DataFrame([[1, 2, 1], [2, 1, 3], [3, 3, 2], [4, 4, 4]], columns=["a", "b", "c"])
    spread = ((ranks.sum(axis=1) - 7.5) ** 2).sum()
    assert concordance(ranks)["w"] == pytest.approx(12 * spread / (3**2 * (4**3 - 4)))


def test_a_detectable_difference_is_detected_four_times_in_five():
    cells = many(THREE, 1)
    found = detectable(cells, "t000", 0.49)
    rng = np.random.default_rng(0)
    for seeds, difference in ((3, found["difference"]), (found["seeds_for_half_a_point"], 0.5)):
        runs = rng.normal(0, 0.7, (2, 20000, seeds)) + np.array([difference, 0])[:, None, None]
        assert np.mean(stats.ttest_rel(*runs, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.012)


def test_retention_of_three_steps():
    matrix: list[list[float | None]] = [[80, None, None], [84, 70], [74, 66, 50]]
    assert retention_measures(matrix, [None, 72, 45]) == {
        "average_accuracy": pytest.approx(190 / 3, abs=1e-6),
        "backward_transfer": -5.0,  # (74 - 80 + 66 - 70) / 2
        "forgetting": 7.0,  # (84 - 74 + 70 - 66) / 2
        "forward_transfer": 1.5,  # (70 - 72 + 50 - 45) / 2
    }
    one = retention_measures([[80]], [80])
    assert one.pop("average_accuracy") == 80 and set(one.values()) == {None}
    assert retention_measures(matrix, [None, None, 45])["forward_transfer"] is None


def test_a_baseline_read_as_nan_and_a_score_given_twice_are_refused():
    scores, validation = sweep()
    with pytest.raises(InputError, match="keep_default_na=False"):
        order_effects(scores.assign(order=scores.order.mask(scores.seed == 1)), validation, THREE, KINDS)
    with pytest.raises(InputError, match="two scores for"):
        order_effects(pd.concat([scores, scores[:1]]), validation, THREE, KINDS)
    with pytest.raises(InputError, match="no kind for 'udpos'"):
        order_effects(scores, validation, THREE, {k: v for k, v in KINDS.items() if k != "udpos"})
