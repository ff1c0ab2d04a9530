"""Bitext mining against references that look at every pair."""

import itertools
import math
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
import torch
from accelerate import Accelerator
from sklearn.neighbors import NearestNeighbors
from transformers import XLMRobertaXLConfig, XLMRobertaXLModel

from conftest import encoded, reset_accelerate
from stiltwalk.tasks.mining.search import SHORTLIST, Kind, best_threshold, margin_pairs, neighbours
from stiltwalk.tasks.tables import schema, write_table
from stiltwalk.tasks.tokenized_files import encode_folder
from stiltwalk.utils.errors import InputError

OPTIONS = {"kind": "mining", "depth": 1.0, "pooling": "mean", "max_length": 16, "neighbours": 4}


def unit(rows: int, width: int, seed: int) -> torch.Tensor:
    values = torch.from_numpy(np.random.default_rng(seed).standard_normal((rows, width))).float()
    return torch.nn.functional.normalize(values, dim=-1)


def tying(rows: int, width: int, seed: int, low: int = -1) -> torch.Tensor:
    """Small whole numbers: their products are exact in any order of summing, and many are equal."""
    return torch.from_numpy(np.random.default_rng(seed).integers(low, 3, (rows, width))).float()


def nearest(queries: torch.Tensor, index: torch.Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    products = queries.numpy() @ index.numpy().T
    rows = np.argsort(-products, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(products, rows, 1), rows


@pytest.mark.parametrize(("rows", "columns", "k"), [(40, 57, 4), (57, 40, 4), (3, 9, 4), (1, 1, 4), (30, 2, 3)])
@pytest.mark.parametrize("budget", [4, 4 * 35, 1 << 20])
@pytest.mark.parametrize("shortlist", [0, SHORTLIST])
def test_neighbours_are_those_of_scikit_learn_whatever_the_blocks(rows, columns, k, budget, shortlist):
    queries, index = unit(rows, 16, 1), unit(columns, 16, 2)
    count = min(k, columns)
    distances, expected = NearestNeighbors(n_neighbors=count, metric="cosine").fit(index).kneighbors(queries)
    similarities, numbers = neighbours(queries, index, k, budget=budget, shortlist=shortlist)
    assert numbers.tolist() == expected.tolist()
    np.testing.assert_allclose(similarities, 1 - distances, atol=1e-6)


@pytest.mark.parametrize(("rows", "columns", "k"), [(13, 17, 4), (17, 3, 4), (2, 20, 1), (12, 12, 12)])
@pytest.mark.parametrize("width", [1, 3, 6])
def test_blocks_of_every_size_give_the_same_and_ties_go_to_the_lower_row(rows, columns, k, width):
    queries, index = tying(rows, width, 1), tying(columns, width, 2)
    expected = nearest(queries, index, k)
    for cells in range(1, 2 + rows * columns, 3):
        for found, wanted in zip(neighbours(queries, index, k, budget=4 * cells), expected, strict=True):
            assert found.tolist() == wanted.tolist()


def test_bfloat16_finds_neighbours_in_a_narrow_cone():
    """Vectors as of an encoder that was never tuned for it: cosines of 0.998, where bfloat16 has steps of 0.004."""
    common = 20 * unit(1, 64, 8)
    index = torch.nn.functional.normalize(common + unit(5000, 64, 9), dim=-1)
    queries = torch.nn.functional.normalize(common + unit(200, 64, 10), dim=-1)
    assert (queries @ index.T).mean() > 0.997
    exact, found = (neighbours(queries, index, 4, shortlist=shortlist)[1] for shortlist in (0, SHORTLIST))
    assert (exact == found).float().mean() > 0.99


def test_rows_that_are_all_alike_are_taken_in_their_order():
    alike = torch.ones(50, 4) / 2
    similarities, numbers = neighbours(alike, alike[:30], 3, budget=4 * 49)
    assert numbers.tolist() == [[0, 1, 2]] * 50 and bool((similarities == 1).all())
    # Every row's best partner is one and the same row of the other side, and that can be taken once.
    assert [len(part) for part in margin_pairs(alike, alike[:1])] == [1, 1, 1]


def aligned(source: np.ndarray, target: np.ndarray, k: int) -> list[tuple[float, int, int]]:
    """The alignment pair by pair: XTREME's mine_bitext with retrieval `max`, in other words."""
    cosine = source @ target.T
    near_s = [sorted(range(len(target)), key=lambda j: (-row[j], j))[:k] for row in cosine]
    near_t = [sorted(range(len(source)), key=lambda i: (-column[i], i))[:k] for column in cosine.T]
    mean_s = [np.mean(cosine[i, near]) for i, near in enumerate(near_s)]
    mean_t = [np.mean(cosine[near, j]) for j, near in enumerate(near_t)]

    def margin(i: int, j: int) -> float:
        return float(cosine[i, j] / ((mean_s[i] + mean_t[j]) / 2))

    found = {(i, max(near, key=lambda j: margin(i, j))) for i, near in enumerate(near_s)}
    found |= {(max(near, key=lambda i: margin(i, j)), j) for j, near in enumerate(near_t)}
    pairs: list[tuple[float, int, int]] = []
    for i, j in sorted(found, key=lambda pair: (-margin(*pair), pair)):
        if margin(i, j) > 0 and all(i != a and j != b for _, a, b in pairs):
            pairs.append((margin(i, j), i, j))
    return pairs


SIZES = [(20, 31), (31, 20), (1, 1), (1, 7), (3, 3), (3, 25), (26, 2)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [lambda n, seed: unit(n, 8, seed), lambda n, seed: tying(n, 3, seed, 1)])
def test_alignment_is_the_plain_one(size, make):
    for seed in range(5):
        source, target = make(size[0], seed), make(size[1], seed + 100)
        scores, sources, targets = margin_pairs(source, target)
        expected = aligned(source.numpy(), target.numpy(), 4)
        assert list(zip(sources.tolist(), targets.tolist(), strict=True)) == [pair[1:] for pair in expected]
        # By what is divided by: it may be near 0, and its rounding is as of the cosines.
        np.testing.assert_allclose(1 / scores, [1 / pair[0] for pair in expected], rtol=1e-5, atol=2e-7)
        assert len(set(sources)) == len(sources) and len(set(targets)) == len(targets)
        assert all(a >= b for a, b in itertools.pairwise(scores))


@pytest.mark.parametrize(("rows", "columns"), [(0, 3), (3, 0), (0, 0)])
def test_an_empty_side_has_no_pairs(rows, columns):
    assert [len(found) for found in margin_pairs(torch.ones(rows, 4), torch.ones(columns, 4))] == [0, 0, 0]


def test_planted_translations_are_found():
    source = unit(300, 32, 3)
    target = torch.nn.functional.normalize(torch.cat([source[:60] + 0.1 * unit(60, 32, 4), unit(200, 32, 5)]), dim=-1)
    order = np.random.default_rng(6).permutation(len(target))
    scores, sources, targets = margin_pairs(source, target[order])
    right = (sources == order[targets]) & (sources < 60)
    threshold, f1 = best_threshold(scores.tolist(), right.tolist(), 60)
    assert f1 == 1.0 and int((scores >= threshold).sum()) == 60


@pytest.mark.parametrize("levels", [3, 6, 1000])
def test_threshold_is_the_best_of_all_cuts(levels):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        scores = (rng.integers(levels, size=12) / levels).tolist()
        right = (rng.random(12) < 0.4).tolist()
        gold = sum(right) + int(rng.integers(3))

        def f1_of(threshold: float, scores=scores, right=right, gold=gold) -> float:
            taken = [r for score, r in zip(scores, right, strict=True) if score >= threshold]
            return 2 * sum(taken) / (len(taken) + gold)

        threshold, f1 = best_threshold(scores, right, gold)
        assert f1 == pytest.approx(f1_of(threshold)) == pytest.approx(max(map(f1_of, scores)))


def test_the_last_candidate_can_be_taken_and_no_right_one_takes_none():
    assert best_threshold([3.0, 2.0], [True, False], 1) == (2.5, 1.0)
    assert best_threshold([3.0, 2.0], [False, True], 1) == (2.0, pytest.approx(2 / 3))
    assert best_threshold([3.0, 2.0], [False, False], 1) == (math.inf, 0.0)
    assert best_threshold([], [], 1) == (math.inf, 0.0)
    above = math.nextafter(2.0, 3.0)  # nothing lies between the two
    assert best_threshold([above, 2.0], [True, False], 1) == (above, 1.0)


def corpora(*rows: tuple[str, str, str]) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table(dict(zip(schema("mining").names, map(list, columns), strict=True)), schema("mining"))


def test_a_repeated_text_is_in_no_pair(encoder, tokens):
    table = corpora(
        ("source", "a-1", "the cat"),
        ("source", "a-2", "the dog"),
        ("source", "a-3", "the dog "),
        ("target", "en-1", "the cat"),
        ("target", "en-2", "the dog"),
    )
    numbers = encoded("mining", table, False, OPTIONS, tokens)
    found = Kind(OPTIONS).mine(Accelerator(), encoder, table, numbers, 64)
    assert [(source, target) for _, source, target in found] == [("a-1", "en-1")]


def test_the_threshold_of_dev_is_applied_to_test(encoder, tokens, tmp_path):
    kind, accelerator = Kind(OPTIONS | {"neighbours": 2}), Accelerator()
    sides = {
        "source": ["the red cat", "Anna sees Ben", "a big house", "who eats ?"],
        "target": ["Anna sees Ben", "the red cat", "in Paris .", "where ?"],
    }
    table = corpora(*((side, f"{side}-{n}", text) for side, texts in sides.items() for n, text in enumerate(texts)))
    numbers = encoded("mining", table, False, OPTIONS, tokens)
    candidates = kind.mine(accelerator, encoder, table, numbers, 64)
    gold = {("source-0", "target-1"), ("source-1", "target-0")}
    assert {pair[1:] for pair in candidates[:2]} == gold and len(candidates) > 2
    threshold, f1 = kind.tune(candidates, gold)
    assert f1 == 1.0 and candidates[1][0] > threshold > candidates[2][0]

    write_table(table, tmp_path / "validation-qaa.parquet", "mining")
    (tmp_path / "validation-qaa.tsv").write_text("".join(f"{s}\t{t}\n" for s, t in sorted(gold)))
    test = table.slice(0, 7)  # not the same corpora, so mined anew
    write_table(test, tmp_path / "test-qaa.parquet", "mining")
    encode_folder(tmp_path, tmp_path / "encoded", OPTIONS | {"labels": []}, tokens)
    answers, facts = kind.predict(accelerator, encoder, test, tmp_path, tmp_path / "encoded", "qaa", 64)
    expected = [
        pair[1:] for pair in kind.mine(accelerator, encoder, test, numbers.take(range(7)), 64) if pair[0] >= threshold
    ]
    assert answers == expected and set(expected) >= gold
    assert facts["dev_f1"] == 100.0 and facts["threshold"] == round(threshold, 6)
    kind.write(answers, test, tmp_path / "test-qaa.tsv")
    assert (tmp_path / "test-qaa.tsv").read_text() == "".join(f"{s}\t{t}\n" for s, t in expected)

    (tmp_path / "validation-qaa.tsv").write_text("source-3\ttarget-0\n")
    answers, facts = kind.predict(accelerator, encoder, test, tmp_path, tmp_path / "encoded", "qaa", 64)
    assert answers == [] and facts["threshold"] is None and facts["dev_f1"] == 0.0


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_no_layer_is_computed_above_the_one_that_is_read(encoder, tokens, precision):
    table = corpora(("source", "a-1", "the cat"), ("source", "a-2", "Anna sees the dog ."))
    numbers = encoded("mining", table, False, OPTIONS, tokens)
    computed: list[int] = []
    reset_accelerate()
    for number, layer in enumerate(whole := encoder.encoder.layer):
        layer.register_forward_hook(lambda *_, number=number: computed.append(number))
    embed = partial(Kind(OPTIONS).embedder.embed, Accelerator(mixed_precision=precision), encoder, numbers, 64)
    found = []
    for state in (0, 1, 2):
        computed.clear()
        found.append(embed([state])[0])
        assert computed == [0, 1][: max(1, state)] and encoder.encoder.layer is whole
    assert torch.equal(torch.stack(found), embed([0, 1, 2]))
    reset_accelerate()  # other tests' Accelerators are in float32


@pytest.mark.parametrize("value", [0, -1, 2.5, "4", True])
def test_neighbours_must_be_a_whole_number(value):
    with pytest.raises(InputError, match=r"params.yaml: kinds.mining.neighbours is .*; it must be a whole number"):
        Kind(OPTIONS | {"neighbours": value})


def test_layers_with_a_norm_after_them_stay_whole(tokens):
    config = XLMRobertaXLConfig(
        vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    encoder = XLMRobertaXLModel(config, add_pooling_layer=False).eval()
    table = corpora(("source", "a-1", "the cat"), ("source", "a-2", "Anna sees the dog ."))
    numbers = encoded("mining", table, False, OPTIONS, tokens)
    embed = partial(Kind(OPTIONS).embedder.embed, Accelerator(), encoder, numbers, 64)
    assert torch.equal(embed([1])[0], embed([0, 1, 2])[1])
