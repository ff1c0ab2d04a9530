"""Bitext mining (BUCC 2018): which sentences of two corpora translate each other, without any training.

The method is that of Artetxe and Schwenk (2019, arXiv 1811.01136) as XTREME has it (third_party/utils_retrieve.py): the
ratio margin over the 4 nearest neighbours in both directions, every sentence's best partner among them, one-to-one by
descending score; the threshold with the best F1 on the dev corpora is applied to the test corpora.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from accelerate import Accelerator
from accelerate.utils import is_bf16_available
from tqdm import tqdm
from transformers import PreTrainedModel

from stiltwalk.models.sentence_vectors import Embedder
from stiltwalk.tasks.tables import read_table
from stiltwalk.training.batching import Encoded
from stiltwalk.utils.errors import InputError

SUFFIX = "tsv"
BUDGET = 64 << 20  # bytes of a block of inner products; the search holds a few times as much beside its answer
SHORTLIST = 16  # rows that bfloat16 picks for float32 to choose from
Pair = tuple[str, str]  # ids of a source and a target sentence
Candidate = tuple[float, str, str]  # the pair with its score
Neighbours = tuple[torch.Tensor, torch.Tensor]  # similarities and rows (queries x k), nearest first


class Kind:
    """options: those of Embedder, and neighbours (XTREME's 4)."""

    def __init__(self, options: dict[str, Any]):
        self.embedder = Embedder(options)
        self.neighbours: int = options["neighbours"]
        if type(self.neighbours) is not int or self.neighbours < 1:
            where = f"params.yaml: kinds.{options['kind']}.neighbours"
            raise InputError(f"{where} is {self.neighbours!r}; it must be a whole number from 1 on")

    def predict(
        self,
        accelerator: Accelerator,
        encoder: PreTrainedModel,
        table: pa.Table,
        rows: Path,
        encoded: Path,
        language: str,
        tokens: int,
    ) -> tuple[list[Pair], dict[str, Any]]:
        """The mined pairs of the test corpora, and facts for the record: threshold, and F1 on the dev corpora.

        The threshold is None where dev has no right candidate; then no pair is mined.
        """
        dev = read_table(rows / f"validation-{language}.parquet", "mining", gold=False)
        lines = (rows / f"validation-{language}.tsv").read_text("utf-8").splitlines()
        gold = {(source, target) for source, target in (line.split("\t") for line in lines)}
        numbers = {split: Encoded.read(encoded / f"{split}-{language}.arrow") for split in ("validation", "test")}
        tuned = self.mine(accelerator, encoder, dev, numbers["validation"], tokens, f"{language} dev")
        threshold, f1 = self.tune(tuned, gold)
        found = tuned
        if table != dev:
            found = self.mine(accelerator, encoder, table, numbers["test"], tokens, f"{language} test")
        pairs = [(source, target) for score, source, target in found if score >= threshold]
        known = round(threshold, 6) if math.isfinite(threshold) else None  # JSON has no infinity
        return pairs, {"threshold": known, "dev_f1": round(100 * f1, 4), "candidates": len(found)}

    def mine(
        self,
        accelerator: Accelerator,
        encoder: PreTrainedModel,
        table: pa.Table,
        encoded: Encoded,
        tokens: int,
        name: str = "",
    ) -> list[Candidate]:
        """Candidates by descending score; with a name, progress bars.

        As in XTREME a text that stands twice on a side is searched once, and then is in no pair: which of its ids is
        meant cannot be told.
        """
        name = name if accelerator.is_main_process else ""
        layers = [self.embedder.layer(encoder)]
        ids: list[list[str]] = []
        vectors: list[torch.Tensor] = []
        for side in ("source", "target"):
            mine = pc.equal(table["side"], side).to_numpy()
            rows = table.filter(pa.array(mine))
            texts = [text.strip() for text in rows["text"].to_pylist()]
            times = Counter(texts)
            row_of_text = dict(zip(texts, np.flatnonzero(mine).tolist(), strict=True))
            id_of_text = dict(zip(texts, rows["id"].to_pylist(), strict=True))
            ids.append([id_ if times[text] == 1 else "" for text, id_ in id_of_text.items()])
            bar, once = name and f"{name} {side}", encoded.take(list(row_of_text.values()))
            (embedded,) = self.embedder.embed(accelerator, encoder, once, tokens, layers, bar)
            vectors.append(embedded.to(accelerator.device))
        scores, sources, targets = margin_pairs(vectors[0], vectors[1], self.neighbours, name and f"{name} search")
        found = zip(scores.tolist(), sources.tolist(), targets.tolist(), strict=True)
        return [(score, ids[0][s], ids[1][t]) for score, s, t in found if ids[0][s] and ids[1][t]]

    def tune(self, candidates: Sequence[Candidate], gold: Set[Pair]) -> tuple[float, float]:
        """The threshold with the best F1 (0..1) on these gold pairs, and that F1."""
        right = [(source, target) in gold for _, source, target in candidates]
        return best_threshold([score for score, *_ in candidates], right, len(gold))

    def write(self, predictions: list[Pair], table: pa.Table, path: Path) -> None:
        """`id<TAB>English id` a line, in the order given, as XTREME's BUCC submissions."""
        path.write_text("".join(f"{source}\t{target}\n" for source, target in predictions), encoding="utf-8")


def margin_pairs(
    source: torch.Tensor, target: torch.Tensor, k: int = 4, progress: str = ""
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (falling), source rows and target rows of a one-to-one alignment of unit vectors (rows x width).

    A pair's score is its cosine over the mean of two means: those of each one's k nearest on the other side. The
    candidates are every row's best partner among its k nearest, in both directions (retrieval `max` of XTREME). Equal
    scores: the lower source row first, then the lower target row.
    """
    if not len(source) or not len(target):
        return np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, np.int64)
    # Two searches: turning the products of one round for the other takes longer than computing them anew.
    sides, shortlist = ((source, target), (target, source)), fast_shortlist(source.device, k)
    found = [neighbours(queries, index, k, progress, shortlist=shortlist) for queries, index in sides]
    directions = [(near.cpu(), rows.cpu()) for near, rows in found]
    means = [near.mean(1) for near, _ in directions]
    best, partners = [], []
    for (near, rows), own, other in zip(directions, means, means[::-1], strict=True):
        margin, place = (near / ((own[:, None] + other[rows]) / 2)).max(1)
        best.append(margin)
        partners.append(rows.gather(1, place[:, None])[:, 0])
    scores = torch.cat(best).numpy()
    sources = torch.cat([torch.arange(len(source)), partners[1]]).numpy()
    targets = torch.cat([partners[0], torch.arange(len(target))]).numpy()
    order = np.lexsort((targets, sources, -scores))
    order = order[scores[order] > 0]
    kept, seen_sources, seen_targets = [], set[int](), set[int]()
    for at, s, t in zip(order.tolist(), sources[order].tolist(), targets[order].tolist(), strict=True):
        if s not in seen_sources and t not in seen_targets:
            seen_sources.add(s)
            seen_targets.add(t)
            kept.append(at)
    return scores[kept], sources[kept], targets[kept]


def best_threshold(scores: Sequence[float], right: Sequence[bool], gold_count: int) -> tuple[float, float]:
    """The threshold with the best F1 (0..1), and that F1, of candidates of which `right` ones are among the gold.

    What scores the threshold or more is taken. It lies half way between the last score taken and the first one left
    (on the last score, if all are taken); of equal F1, the highest. Without any right candidate nothing is taken.
    """
    values = np.asarray(scores, np.float64)
    order = np.argsort(-values, kind="stable")
    values, correct = values[order], np.cumsum(np.asarray(right, bool)[order])
    if not len(correct) or not correct[-1]:
        return math.inf, 0.0
    f1 = 2 * correct / (np.arange(1, len(correct) + 1) + gold_count)
    f1[:-1][values[1:] == values[:-1]] = -1  # no threshold parts equal scores
    last = int(f1.argmax())
    lowest = float(values[last])
    following = float(values[last + 1]) if last + 1 < len(values) else lowest
    middle = (lowest + following) / 2
    return middle if middle > following else lowest, float(f1[last])


@torch.no_grad()
def neighbours(
    queries: torch.Tensor, index: torch.Tensor, k: int, progress: str = "", budget: int = BUDGET, shortlist: int = 0
) -> Neighbours:
    """The k rows of `index` (all, if fewer) with the largest inner product, for each query.

    queries, index: rows x width, in float32 on one device, where the search runs and its answer lies. Of equally near
    rows the lower one comes first, whatever the blocks. progress: what the bar says; none if empty. budget: bytes of a
    block. shortlist: with 0 the search is exact; with more, so many rows are found by bfloat16 products of rows less
    their mean, and the k nearest of them by float32.
    """
    best = _nothing(queries, index, shortlist or k, shortlist > 0)
    for rows, columns, products in _blocks(queries, index, progress, budget, shortlist > 0):
        _merge(best, rows, products, columns.start, shortlist > 0)
    return _refine(best, queries, index, k) if shortlist else best


def fast_shortlist(device: torch.device, k: int) -> int:
    """SHORTLIST, more for many neighbours, where the device multiplies bfloat16 faster than float32; else 0."""
    fast = torch.cpu.get_capabilities().get("avx512_bf16", False) if device.type == "cpu" else is_bf16_available(True)
    return max(SHORTLIST, 4 * k) if fast else 0


def _nothing(queries: torch.Tensor, index: torch.Tensor, k: int, coarse: bool) -> Neighbours:
    shape = (len(queries), min(k, len(index)))
    similarities = torch.full(shape, -torch.inf, dtype=torch.bfloat16 if coarse else None, device=queries.device)
    return similarities, torch.zeros(shape, dtype=torch.int64, device=queries.device)


def _blocks(
    queries: torch.Tensor, index: torch.Tensor, progress: str, budget: int, coarse: bool
) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """Blocks of queries @ index.T with their rows and columns; each block overwrites the one before."""
    if coarse:
        queries, index = queries.bfloat16(), _centred(index)
    most = max(1, budget // queries.element_size())
    height = max(1, min(len(queries), math.isqrt(most // 8)))  # wide: less to merge
    width = max(1, min(len(index), most // height))
    buffer = queries.new_empty(height * width)
    corners = list(itertools.product(range(0, len(queries), height), range(0, len(index), width)))
    for s, t in tqdm(corners, progress, unit="block", disable=not progress):
        rows, columns = slice(s, min(s + height, len(queries))), slice(t, min(t + width, len(index)))
        shape = (rows.stop - s, columns.stop - t)
        products = buffer[: math.prod(shape)].view(shape)
        torch.mm(queries[rows], index[columns].T, out=products)
        yield rows, columns, products


def _centred(index: torch.Tensor, rows: int = 1 << 16) -> torch.Tensor:
    """The rows less their mean, in bfloat16: a query's products become less by one number, and their order stays.

    The vectors of an encoder that was never tuned for it lie in one narrow cone (cosines of 0.99 in XLM-R), and
    bfloat16, which has steps of 0.004 there, could not tell them apart.
    """
    mean = index.mean(0)
    return torch.cat([(part - mean).bfloat16() for part in index.split(rows)])


def _merge(best: Neighbours, rows: slice, products: torch.Tensor, first: int, coarse: bool) -> None:
    """Put into `best[rows]` what is nearer among the columns of `products`, which are rows from `first` on."""
    similarities, numbers = best
    k = similarities.shape[1]
    values, columns = products.topk(min(k, products.shape[1])) if coarse else _largest(products, k)
    values, found = torch.cat([similarities[rows], values], 1), torch.cat([numbers[rows], columns + first], 1)
    if coarse:  # which of those that tie stay does not matter yet
        similarities[rows], order = values.topk(k)
        numbers[rows] = found.gather(1, order)
        return
    values, found = _falling(values, found)
    similarities[rows], numbers[rows] = values[:, :k], found[:, :k]


def _falling(values: torch.Tensor, numbers: torch.Tensor) -> Neighbours:
    """Both ordered by falling value, of equal values the lower number first."""
    numbers, order = numbers.sort(dim=1)
    values, by_value = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return values, numbers.gather(1, by_value)


def _refine(best: Neighbours, queries: torch.Tensor, index: torch.Tensor, k: int, rows: int = 256) -> Neighbours:
    """The k nearest of a shortlist, by products in the queries' own precision."""
    parts = []
    for start in range(0, len(queries), rows):
        numbers = best[1][start : start + rows]
        values = torch.bmm(index[numbers], queries[start : start + rows, :, None]).squeeze(-1)
        parts.append(tuple(part[:, :k] for part in _falling(values, numbers)))
    similarities, found = zip(*parts, strict=True)
    return torch.cat(similarities), torch.cat(found)


def _largest(products: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k largest values of every row and their columns, falling; the first columns of those that tie for the end."""
    count = products.shape[1]
    values, columns = products.topk(min(k + 1, count), dim=1)
    if count <= k:
        return values, columns
    tied = (values[:, k - 1] == values[:, k]).nonzero()[:, 0]
    values, columns = values[:, :k], columns[:, :k]
    if len(tied):  # topk leaves open which of them it returns
        end = values[tied, -1:]
        falling = torch.arange(count, 0, -1, dtype=torch.int32, device=products.device)
        firsts = count - ((products[tied] == end) * falling).topk(k, dim=1).values.long()
        above = values[tied] > end
        place = torch.arange(k, device=products.device) - above.sum(1, keepdim=True)
        columns[tied] = torch.where(above, columns[tied], firsts.gather(1, place.clamp(min=0)))
    return values, columns
