"""One-to-one alignment of two sets of vectors by a margin criterion, and the threshold above which pairs are taken.

The method is that of Artetxe and Schwenk (2019, arXiv 1811.01136) as XTREME implements it
(third_party/utils_retrieve.py): the ratio margin over the k nearest neighbours in both directions.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

from stiltwalk.tasks.mining.search.neighbours import nearest_neighbours, shortlist_size

Alignment = tuple[np.ndarray, np.ndarray, np.ndarray]  # scores, source rows, target rows


def align(source: torch.Tensor, target: torch.Tensor, k: int = 4, progress: str = "") -> Alignment:
    """Return scores (descending), source rows and target rows of a one-to-one alignment of unit vectors.

    source, target: rows x width, on one device. progress: label of progress bars; empty for none.

    A pair's score is its cosine, divided by the mean of two means: the mean cosine of the source row with its k nearest
    target rows, and of the target row with its k nearest source rows. The candidates are every row's best partner among
    its k nearest rows, in both directions (retrieval `max` of XTREME). Among equal scores the lower source row comes
    first, then the lower target row. Only positive scores count.
    """
    if not len(source) or not len(target):
        return np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, np.int64)
    scores, sources, targets = _candidates(source, target, k, progress)
    order = np.lexsort((targets, sources, -scores))
    order = order[scores[order] > 0]
    chosen = []
    used_sources, used_targets = set[int](), set[int]()
    for place, s, t in zip(order.tolist(), sources[order].tolist(), targets[order].tolist(), strict=True):
        if s not in used_sources and t not in used_targets:
            used_sources.add(s)
            used_targets.add(t)
            chosen.append(place)
    return scores[chosen], sources[chosen], targets[chosen]


def _candidates(source: torch.Tensor, target: torch.Tensor, k: int, progress: str) -> Alignment:
    """Return every row's best partner among its k nearest rows, first of the source rows, then of the target rows."""
    # Each direction has its own search: transposing the products of one for the other would take longer.
    directions = ((source, target), (target, source))
    shortlist = shortlist_size(source.device, k)
    results = [nearest_neighbours(queries, index, k, progress, shortlist=shortlist) for queries, index in directions]
    neighbours = [(cosines.cpu(), rows.cpu()) for cosines, rows in results]
    means = [cosines.mean(1) for cosines, _ in neighbours]
    scores, partners = [], []
    for (cosines, rows), query_means, index_means in zip(neighbours, means, means[::-1], strict=True):
        margin, place = (cosines / ((query_means[:, None] + index_means[rows]) / 2)).max(1)
        scores.append(margin)
        partners.append(rows.gather(1, place[:, None])[:, 0])
    sources = torch.cat([torch.arange(len(source)), partners[1]])
    targets = torch.cat([partners[0], torch.arange(len(target))])
    return torch.cat(scores).numpy(), sources.numpy(), targets.numpy()


def best_threshold(scores: Sequence[float], correct: Sequence[bool], gold_count: int) -> tuple[float, float]:
    """Return the threshold with the best F1, and that F1 (0 to 1).

    scores, correct: of every candidate, its score and whether it is a gold pair. gold_count: number of gold pairs.

    Candidates that score the threshold or more are taken. The threshold lies half way between the last score taken and
    the first score left out, or on the last score if all are taken. Among equal values of F1 the highest threshold is
    chosen. Without any correct candidate the threshold is infinite.
    """
    values = np.asarray(scores, np.float64)
    order = np.argsort(-values, kind="stable")
    values, hits = values[order], np.cumsum(np.asarray(correct, bool)[order])
    if not len(hits) or not hits[-1]:
        return math.inf, 0.0
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + gold_count)
    f1[:-1][values[1:] == values[:-1]] = -1  # a threshold cannot separate equal scores
    last = int(f1.argmax())
    lowest = float(values[last])
    following = float(values[last + 1]) if last + 1 < len(values) else lowest
    middle = (lowest + following) / 2
    return middle if middle > following else lowest, float(f1[last])
