"""Alignment by margins against a reference that looks at every pair."""

import itertools
import math

import numpy as np
import pytest
import torch

from stiltwalk.tasks.mining.search.margin import align, best_threshold
from vectors import small_integers, unit

SIZES = [(20, 31), (31, 20), (1, 1), (1, 7), (3, 3), (3, 25), (26, 2)]


def reference(source: np.ndarray, target: np.ndarray, k: int) -> list[tuple[float, int, int]]:
    """The alignment pair by pair: what XTREME's mine_bitext does with retrieval `max`."""
    cosine = source @ target.T
    near_s = [sorted(range(len(target)), key=lambda j: (-row[j], j))[:k] for row in cosine]
    near_t = [sorted(range(len(source)), key=lambda i: (-column[i], i))[:k] for column in cosine.T]
    mean_s = [np.mean(cosine[i, near]) for i, near in enumerate(near_s)]
    mean_t = [np.mean(cosine[near, j]) for j, near in enumerate(near_t)]

    def margin(i: int, j: int) -> float:
        return float(cosine[i, j] / ((mean_s[i] + mean_t[j]) / 2))

    candidates = {(i, max(near, key=lambda j: margin(i, j))) for i, near in enumerate(near_s)}
    candidates |= {(max(near, key=lambda i: margin(i, j)), j) for j, near in enumerate(near_t)}
    pairs: list[tuple[float, int, int]] = []
    for i, j in sorted(candidates, key=lambda pair: (-margin(*pair), pair)):
        if margin(i, j) > 0 and all(i != a and j != b for _, a, b in pairs):
            pairs.append((margin(i, j), i, j))
    return pairs


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [lambda n, seed: unit(n, 8, seed), lambda n, seed: small_integers(n, 3, seed, 1)])
def test_the_alignment_equals_the_reference(size, make):
    for seed in range(5):
        source, target = make(size[0], seed), make(size[1], seed + 100)
        scores, sources, targets = align(source, target)
        expected = reference(source.numpy(), target.numpy(), 4)
        assert list(zip(sources.tolist(), targets.tolist(), strict=True)) == [pair[1:] for pair in expected]
        # Compare reciprocals: a divisor may be near 0, and it is rounded as the cosines are.
        np.testing.assert_allclose(1 / scores, [1 / pair[0] for pair in expected], rtol=1e-5, atol=2e-7)
        assert len(set(sources)) == len(sources) and len(set(targets)) == len(targets)
        assert all(a >= b for a, b in itertools.pairwise(scores))


@pytest.mark.parametrize(("rows", "columns"), [(0, 3), (3, 0), (0, 0)])
def test_an_empty_side_has_no_pairs(rows, columns):
    assert [len(part) for part in align(torch.ones(rows, 4), torch.ones(columns, 4))] == [0, 0, 0]


def test_planted_translations_are_recovered():
    source = unit(300, 32, 3)
    target = torch.nn.functional.normalize(torch.cat([source[:60] + 0.1 * unit(60, 32, 4), unit(200, 32, 5)]), dim=-1)
    order = np.random.default_rng(6).permutation(len(target))
    scores, sources, targets = align(source, target[order])
    correct = (sources == order[targets]) & (sources < 60)
    threshold, f1 = best_threshold(scores.tolist(), correct.tolist(), 60)
    assert f1 == 1.0 and int((scores >= threshold).sum()) == 60


@pytest.mark.parametrize("levels", [3, 6, 1000])
def test_no_other_threshold_has_a_better_f1(levels):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        scores = (rng.integers(levels, size=12) / levels).tolist()
        correct = (rng.random(12) < 0.4).tolist()
        gold = sum(correct) + int(rng.integers(3))

        def f1_of(threshold: float, scores=scores, correct=correct, gold=gold) -> float:
            taken = [hit for score, hit in zip(scores, correct, strict=True) if score >= threshold]
            return 2 * sum(taken) / (len(taken) + gold)

        threshold, f1 = best_threshold(scores, correct, gold)
        assert f1 == pytest.approx(f1_of(threshold)) == pytest.approx(max(map(f1_of, scores)))


def test_the_last_candidate_can_be_taken_and_without_a_correct_one_none_is():
    assert best_threshold([3.0, 2.0], [True, False], 1) == (2.5, 1.0)
    assert best_threshold([3.0, 2.0], [False, True], 1) == (2.0, pytest.approx(2 / 3))
    assert best_threshold([3.0, 2.0], [False, False], 1) == (math.inf, 0.0)
    assert best_threshold([], [], 1) == (math.inf, 0.0)
    above = math.nextafter(2.0, 3.0)  # there is no number between the two
    assert best_threshold([above, 2.0], [True, False], 1) == (above, 1.0)
