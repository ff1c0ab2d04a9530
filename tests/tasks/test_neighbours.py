"""Nearest neighbours against references that look at every pair."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from stiltwalk.tasks.mining.search.margin import align
from stiltwalk.tasks.mining.search.neighbours import SHORTLIST, nearest_neighbours
from vectors import small_integers, unit


def reference(queries: torch.Tensor, index: torch.Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Products and rows by sorting all products."""
    products = queries.numpy() @ index.numpy().T
    rows = np.argsort(-products, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(products, rows, 1), rows


@pytest.mark.parametrize(("rows", "columns", "k"), [(40, 57, 4), (57, 40, 4), (3, 9, 4), (1, 1, 4), (30, 2, 3)])
@pytest.mark.parametrize("block_bytes", [4, 4 * 35, 1 << 20])
@pytest.mark.parametrize("shortlist", [0, SHORTLIST])
def test_neighbours_are_those_of_scikit_learn_for_all_block_sizes(rows, columns, k, block_bytes, shortlist):
    queries, index = unit(rows, 16, 1), unit(columns, 16, 2)
    count = min(k, columns)
    distances, expected = NearestNeighbors(n_neighbors=count, metric="cosine").fit(index).kneighbors(queries)
    products, numbers = nearest_neighbours(queries, index, k, block_bytes=block_bytes, shortlist=shortlist)
    assert numbers.tolist() == expected.tolist()
    np.testing.assert_allclose(products, 1 - distances, atol=1e-6)


@pytest.mark.parametrize(("rows", "columns", "k"), [(13, 17, 4), (17, 3, 4), (2, 20, 1), (12, 12, 12)])
@pytest.mark.parametrize("width", [1, 3, 6])
def test_ties_go_to_the_lower_row_for_all_block_sizes(rows, columns, k, width):
    queries, index = small_integers(rows, width, 1), small_integers(columns, width, 2)
    expected = reference(queries, index, k)
    for cells in range(1, 2 + rows * columns, 3):
        results = nearest_neighbours(queries, index, k, block_bytes=4 * cells)
        for result, values in zip(results, expected, strict=True):
            assert result.tolist() == values.tolist()


def test_bfloat16_finds_neighbours_in_a_narrow_cone():
    """An encoder that was not fine-tuned for retrieval has cosines of 0.998, where bfloat16 has steps of 0.004."""
    common = 20 * unit(1, 64, 8)
    index = torch.nn.functional.normalize(common + unit(5000, 64, 9), dim=-1)
    queries = torch.nn.functional.normalize(common + unit(200, 64, 10), dim=-1)
    assert (queries @ index.T).mean() > 0.997
    exact, coarse = (nearest_neighbours(queries, index, 4, shortlist=shortlist)[1] for shortlist in (0, SHORTLIST))
    assert (exact == coarse).float().mean() > 0.99


def test_equal_rows_are_taken_in_their_order():
    equal = torch.ones(50, 4) / 2
    products, numbers = nearest_neighbours(equal, equal[:30], 3, block_bytes=4 * 49)
    assert numbers.tolist() == [[0, 1, 2]] * 50 and bool((products == 1).all())
    # Every row has the same best partner on the other side, and that partner can be taken only once.
    assert [len(part) for part in align(equal, equal[:1])] == [1, 1, 1]
