"""Nearest neighbours by inner product, computed in blocks so that all products are never in memory at once.

The search is exact in float32. Where the device multiplies bfloat16 faster, a first pass in bfloat16 makes a shortlist
for every query, and float32 chooses from it.
"""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from accelerate.utils import is_bf16_available
from tqdm import tqdm

BLOCK_BYTES = 64 << 20  # of the products in a block; a search needs a few times as much beside its result
SHORTLIST = 16  # rows that bfloat16 chooses for float32 to choose from

Neighbours = tuple[torch.Tensor, torch.Tensor]  # inner products and rows of the index (queries x k), nearest first


@torch.no_grad()
def nearest_neighbours(
    queries: torch.Tensor,
    index: torch.Tensor,
    k: int,
    progress: str = "",
    block_bytes: int = BLOCK_BYTES,
    shortlist: int = 0,
) -> Neighbours:
    """Return, for every query, the k rows of the index with the largest inner products, or all rows if there are fewer.

    queries, index: rows x width, in float32 on one device, where the search runs and the result lies. Among equal
    products the lower row comes first, regardless of the blocks.
    progress: label of a progress bar; empty for none. block_bytes: size of a block of products.
    shortlist: with 0 the search is exact. Otherwise the products of bfloat16 vectors, less the mean of the index,
    choose that many rows, and the products in float32 choose the k nearest of them.
    """
    coarse = shortlist > 0
    best = _empty_result(queries, index, shortlist or k, coarse)
    for block in _blocks(queries, index, progress, block_bytes, coarse):
        if coarse:
            _merge_coarse(best, block)
        else:
            _merge_exact(best, block)
    return _rerank(best, queries, index, k) if coarse else best


def shortlist_size(device: torch.device, k: int) -> int:
    """Return how long a shortlist for k neighbours is; 0 if bfloat16 is not faster than float32 on this device."""
    fast = torch.cpu.get_capabilities().get("avx512_bf16", False) if device.type == "cpu" else is_bf16_available(True)
    return max(SHORTLIST, 4 * k) if fast else 0


class _Block(NamedTuple):
    """Inner products of some queries (`rows`) with some rows of the index (from `first_column` on)."""

    rows: slice
    first_column: int
    products: torch.Tensor


def _empty_result(queries: torch.Tensor, index: torch.Tensor, k: int, coarse: bool) -> Neighbours:
    shape = (len(queries), min(k, len(index)))
    products = torch.full(shape, -torch.inf, dtype=torch.bfloat16 if coarse else None, device=queries.device)
    return products, torch.zeros(shape, dtype=torch.int64, device=queries.device)


def _blocks(
    queries: torch.Tensor, index: torch.Tensor, progress: str, block_bytes: int, coarse: bool
) -> Iterator[_Block]:
    """Yield the blocks of queries @ index.T. Each block overwrites the products of the block before it."""
    if coarse:
        queries, index = queries.bfloat16(), _centred(index)
    cells = max(1, block_bytes // queries.element_size())
    height = max(1, min(len(queries), math.isqrt(cells // 8)))  # wide blocks need fewer merges
    width = max(1, min(len(index), cells // height))
    buffer = queries.new_empty(height * width)
    corners = list(itertools.product(range(0, len(queries), height), range(0, len(index), width)))
    for row, column in tqdm(corners, progress, unit="block", disable=not progress):
        rows, columns = slice(row, min(row + height, len(queries))), slice(column, min(column + width, len(index)))
        shape = (rows.stop - row, columns.stop - column)
        products = buffer[: math.prod(shape)].view(shape)
        torch.mm(queries[rows], index[columns].T, out=products)
        yield _Block(rows, column, products)


def _centred(index: torch.Tensor, rows: int = 1 << 16) -> torch.Tensor:
    """Return the rows less their mean, in bfloat16.

    Subtracting the mean lowers all products of a query by one number, so their order stays the same. Without it
    bfloat16 could not tell rows apart: the vectors of an encoder that was not fine-tuned for retrieval lie in a narrow
    cone (cosines of 0.99 in XLM-R), where bfloat16 has steps of 0.004.
    """
    mean = index.mean(0)
    return torch.cat([(part - mean).bfloat16() for part in index.split(rows)])


def _merge_exact(best: Neighbours, block: _Block) -> None:
    """Put the nearest rows of a block into the result."""
    products, numbers = best
    k = products.shape[1]
    values, columns = _largest(block.products, k)
    values, rows = _with_earlier(best, block, values, columns)
    values, rows = _descending(values, rows)
    products[block.rows], numbers[block.rows] = values[:, :k], rows[:, :k]


def _merge_coarse(best: Neighbours, block: _Block) -> None:
    """Put the nearest rows of a block into the shortlists. Any of several equal products may stay."""
    products, numbers = best
    k = products.shape[1]
    values, columns = block.products.topk(min(k, block.products.shape[1]))
    values, rows = _with_earlier(best, block, values, columns)
    products[block.rows], order = values.topk(k)
    numbers[block.rows] = rows.gather(1, order)


def _with_earlier(best: Neighbours, block: _Block, values: torch.Tensor, columns: torch.Tensor) -> Neighbours:
    """Return the results so far for the queries of a block, followed by results from the block."""
    products, numbers = best
    return (
        torch.cat([products[block.rows], values], 1),
        torch.cat([numbers[block.rows], columns + block.first_column], 1),
    )


def _descending(values: torch.Tensor, rows: torch.Tensor) -> Neighbours:
    """Sort both by descending value, and by ascending row among equal values."""
    rows, order = rows.sort(dim=1)
    values, by_value = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return values, rows.gather(1, by_value)


def _rerank(
    shortlists: Neighbours, queries: torch.Tensor, index: torch.Tensor, k: int, queries_per_part: int = 256
) -> Neighbours:
    """Return the k nearest rows of every shortlist, by products in the precision of the queries."""
    parts = []
    for start in range(0, len(queries), queries_per_part):
        rows = shortlists[1][start : start + queries_per_part]
        values = torch.bmm(index[rows], queries[start : start + queries_per_part, :, None]).squeeze(-1)
        parts.append(tuple(part[:, :k] for part in _descending(values, rows)))
    products, numbers = zip(*parts, strict=True)
    return torch.cat(products), torch.cat(numbers)


def _largest(products: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the k largest values of every row, descending, and their columns.

    Of the columns whose values tie for the last places, the first ones are returned; topk would leave the choice open.
    """
    count = products.shape[1]
    values, columns = products.topk(min(k + 1, count), dim=1)
    if count <= k:
        return values, columns
    tied = (values[:, k - 1] == values[:, k]).nonzero()[:, 0]
    values, columns = values[:, :k], columns[:, :k]
    if len(tied):
        lowest = values[tied, -1:]
        # The larger the number, the earlier the column: topk of these numbers finds the first columns that tie.
        earliness = torch.arange(count, 0, -1, dtype=torch.int32, device=products.device)
        first = count - ((products[tied] == lowest) * earliness).topk(k, dim=1).values.long()
        above = values[tied] > lowest
        place = torch.arange(k, device=products.device) - above.sum(1, keepdim=True)
        columns[tied] = torch.where(above, columns[tied], first.gather(1, place.clamp(min=0)))
    return values, columns
