"""Intervals for new test items: the covariance of scores that is due to the drawing of the test set.

Intervals over seeds answer what other seeds would give on the same test items. All runs are tested on the same items,
so the luck of the items does not show in the differences between seeds. Here items are resampled from the predictions
that DVC stores for every experiment.
"""

import math
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from stiltwalk.analysis.cells import ALL
from stiltwalk.analysis.intervals import t_bounds, t_interval
from stiltwalk.analysis.item_statistics import (
    ItemStatistics,
    are_rows_translations,
    read_item_statistics,
    score_sums,
)
from stiltwalk.scoring.aggregate import list_some
from stiltwalk.scoring.tasks import XTREME_TASKS
from stiltwalk.sweep.experiments import Experiment, find_output_files
from stiltwalk.utils.errors import InputError

_BLOCK = 2**23  # weights in memory at a time


@dataclass(frozen=True)
class TargetItems:
    """The items of a target."""

    runs: pd.MultiIndex
    """(order, seed) of every run; the second axis of `values` in `languages`."""
    languages: dict[str, ItemStatistics]

    @property
    def scores(self) -> pd.DataFrame:
        """The scores (0 to 100) of the actual test set: a row per run, a column per language."""
        by_language = {language: score_sums(items.values.sum(axis=0)) for language, items in self.languages.items()}
        return pd.DataFrame(by_language, self.runs)


@dataclass(frozen=True)
class ItemCovariance:
    """The covariance of a target's scores that is due to the drawing of test items."""

    runs: pd.DataFrame
    """In squared points. Rows and columns are runs, (order, seed)."""
    df: float
    """Degrees of freedom of a variance in it."""

    @property
    def orders(self) -> pd.DataFrame:
        """The covariance of the mean scores over seeds; rows and columns are orders and controls.

        An order's mean is over the seeds that it has.
        """
        by_order = self.runs.groupby(level="order").mean()
        return by_order.T.groupby(level="order").mean()


def read_items(experiments: Sequence[Experiment], root: Path = Path()) -> tuple[dict[str, TargetItems], dict[str, str]]:
    """Read the items of every target from labels and predictions in DVC's local cache.

    experiments: one per order and seed; some may lack targets that others have.
    Returns the items by target, and for every other target why it is left out: the cache lacks a file of it, or
    experiments were tested on different items. Raises InputError for two experiments of one order and seed.
    """
    keys = Counter((",".join(experiment.order), experiment.seed) for experiment in experiments)
    if repeated := [key for key, count in keys.items() if count > 1]:
        raise InputError(f"two experiments have the order '{repeated[0][0]}' and the seed {repeated[0][1]}; pass one")
    items, left_out = {}, {}
    targets = sorted({target for experiment in experiments for target in experiment.cells["targets"]})
    for target in tqdm(targets, "reading predictions", unit="target", leave=False, disable=None):
        runs = [experiment for experiment in experiments if target in experiment.cells["targets"]]
        folders = (f"data/labels/{target}", f"predictions/{target}")
        if len({run.outputs.get(folders[0]) for run in runs}) > 1:
            left_out[target] = "its experiments have different test items"
            continue
        labels, *predictions = (
            find_output_files(run, folder, root)
            for run, folder in [(runs[0], folders[0]), *((run, folders[1]) for run in runs)]
        )
        if missing := [run.name for run, files in zip(runs, predictions, strict=True) if files is None]:
            left_out[target] = f"the cache lacks its predictions of {list_some(missing)}"
        elif labels is None:
            left_out[target] = "the cache lacks its labels"
        else:
            items[target] = _read_target(target, runs, labels, [files for files in predictions if files is not None])
    return items, left_out


def item_covariance(
    items: Mapping[str, TargetItems], targets: Sequence[str], draws: int = 1000, seed: int = 0
) -> dict[str, ItemCovariance]:
    """Estimate by bootstrap how scores of runs would vary and covary over test sets of the same size.

    targets: those whose mean is the score "all".

    A draw resamples a target's items with replacement, and scores all runs on the same resample. Languages with items
    in common (translations) are resampled together: an item in all languages is one cluster. Other languages, and
    targets, are independent samples. "all" is left out unless every target has items; its runs are those that have
    every target.

    The covariance over resamples of n clusters is too small by (n - 1) / n on average, which is corrected. The degrees
    of freedom are those of the language with the fewest clusters, which is cautious, and allow for the finite number of
    draws. The same seed gives the same result, whichever other targets there are.

    Labels do not show everything that items share. Questions on one passage, XNLI's hypotheses with one premise and
    UDPOS's parallel treebanks count as independent, which understates the variance. In retrieval, a resample keeps the
    sentences among which the search takes place.
    """
    result = {
        target: _target_covariance(items[target], draws, np.random.default_rng([seed, zlib.crc32(target.encode())]))
        for target in items
    }
    if targets and all(target in result for target in targets):
        parts = [result[target] for target in targets]
        runs = parts[0].runs.index
        for part in parts[1:]:
            runs = runs.intersection(part.runs.index)
        total = sum(part.runs.loc[runs, runs].to_numpy() for part in parts) / len(parts) ** 2
        result[ALL] = ItemCovariance(pd.DataFrame(total, runs, runs), min(part.df for part in parts))
    return result


def contrast_interval(scores: pd.Series, contrast: Mapping[str, float], items: ItemCovariance) -> dict[str, float]:
    """Return the 95 % interval of a contrast of orders for new seeds and new test items.

    scores: of one target, by (order, seed).
    contrast: the coefficient of every order or control in it; one coefficient of 1 gives an order's own mean.
    items: of the same target.

    The contrast is computed for each seed, as in the intervals over seeds. Seeds in which an order of the contrast has
    no score do not count, so that a missing run does not turn differences between seeds into differences between
    orders. Returns `mean` over these seeds, their number `n`, the standard errors `seed_error` and `item_error`, the
    degrees of freedom `df`, and the ends `low` and `high`; NaN with fewer than two seeds.

    Seeds and items are crossed. If both are drawn at random, the variance of a mean is that over seeds plus that over
    items, plus their interaction, which both estimates contain. Their sum counts it twice and is cautious, like
    resampling both (Owen 2007, The pigeonhole bootstrap, Annals of Applied Statistics 1). There are enough items to
    resample, but not seeds: three seeds have ten distinct resamples, and resampling them understates the variance by a
    third. The seeds' variance is therefore estimated from the differences between seeds, and the sum is referred to the
    t distribution with the degrees of freedom of Satterthwaite (1946, Biometrics Bulletin 2).

    These are too many where few seeds agree by chance: with three seeds, coverage falls to 92 % if most of the variance
    is over seeds. The interval is therefore never narrower than the t interval over seeds, since a second source of
    variance cannot make a result more certain. In simulations, this restores a coverage of 94 % or more.
    """
    coefficients = pd.Series(contrast, dtype=float)
    coefficients = coefficients[coefficients != 0]
    table = scores.unstack("seed").reindex(coefficients.index)
    has_items = pd.Series(True, items.runs.index).unstack("seed").reindex_like(table)
    by_seed = (table.where(has_items.notna()).T @ coefficients).dropna()
    over_seeds = t_interval(by_seed)
    mean, n = over_seeds["mean"], over_seeds["n"]
    if n < 2:
        names = ("seed_error", "item_error", "df", "low", "high")
        return {"mean": mean, "n": n} | dict.fromkeys(names, math.nan)
    runs = pd.MultiIndex.from_product([coefficients.index, by_seed.index])
    weights = np.repeat(coefficients.to_numpy() / n, n)
    seed_variance = over_seeds["sd"] ** 2 / n
    # Rounding may give -1e-17 where no item tells the orders apart.
    item_variance = max(weights @ items.runs.loc[runs, runs].to_numpy() @ weights, 0.0)
    total = seed_variance + item_variance
    spread = seed_variance**2 / (n - 1) + item_variance**2 / items.df
    df = total**2 / spread if spread > 0 else float(n - 1)
    bounds = t_bounds(mean, math.sqrt(total), df)
    low, high = min(bounds["low"], over_seeds["low"]), max(bounds["high"], over_seeds["high"])
    errors = {"seed_error": math.sqrt(seed_variance), "item_error": math.sqrt(item_variance)}
    return {"mean": mean, "n": n, **errors, "df": df, "low": low, "high": high}


def _read_target(
    target: str, runs: Sequence[Experiment], labels: Mapping[str, Path], predictions: Sequence[Mapping[str, Path]]
) -> TargetItems:
    source = runs[0].params["plan"]["targets"][target]["data"]["source"]
    suffix = XTREME_TASKS[target].suffix
    languages = {}
    for name in sorted(labels):
        # The path of a cached file is its content's MD5: runs with the same predictions have the same path.
        paths = [files[name] for files in predictions]
        distinct = list(dict.fromkeys(paths))
        language = name.removeprefix("test-").removesuffix(f".{suffix}")
        translated = are_rows_translations(target, source)
        read = read_item_statistics(target, language, labels[name], distinct, translated=translated)
        languages[language] = ItemStatistics(read.ids, read.values[:, [distinct.index(path) for path in paths]])
    index = [(",".join(run.order), run.seed) for run in runs]
    return TargetItems(pd.MultiIndex.from_tuples(index, names=["order", "seed"]), languages)


def _target_covariance(items: TargetItems, draws: int, rng: np.random.Generator) -> ItemCovariance:
    runs = len(items.runs)
    total, fewest = np.zeros((runs, runs)), math.inf
    for languages in _group_languages(items.languages):
        rows, clusters = _number_clusters(languages)
        scores = np.concatenate(
            [
                sum(
                    _score_draws(weights[:, one], language.values)
                    for one, language in zip(rows, languages, strict=True)
                )
                for weights in _draw_weights(clusters, draws, rng)
            ]
        )
        correction = clusters / (clusters - 1) if clusters > 1 else math.nan
        total += correction * np.cov(scores, rowvar=False).reshape(runs, runs)
        fewest = min(fewest, clusters)
    total /= len(items.languages) ** 2
    df = 1 / (1 / (fewest - 1) + 1 / (draws - 1)) if fewest > 1 else math.nan
    return ItemCovariance(pd.DataFrame(total, items.runs, items.runs), df)


def _group_languages(languages: Mapping[str, ItemStatistics]) -> list[list[ItemStatistics]]:
    """Group languages that have items in common, directly or through another language."""
    groups: list[tuple[set[str], list[ItemStatistics]]] = []
    for items in languages.values():
        ids, members = set(items.ids), [items]
        others = []
        for group in groups:
            if group[0].isdisjoint(items.ids):
                others.append(group)
            else:
                ids, members = ids | group[0], [*group[1], *members]
        groups = [*others, (ids, members)]
    return [members for _, members in groups]


def _number_clusters(languages: Sequence[ItemStatistics]) -> tuple[list[np.ndarray], int]:
    """Return, for each language, the numbers of its items' clusters, and how many clusters there are."""
    numbers: dict[str, int] = {}
    rows = [np.array([numbers.setdefault(one, len(numbers)) for one in items.ids]) for items in languages]
    return rows, len(numbers)


def _draw_weights(clusters: int, draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield blocks of resamples: how often each cluster is drawn, (draws in the block, clusters)."""
    size = max(_BLOCK // clusters, 1)
    for start in range(0, draws, size):
        block = min(size, draws - start)
        drawn = rng.integers(clusters, size=(block, clusters)) + clusters * np.arange(block)[:, None]
        yield np.bincount(drawn.ravel(), minlength=block * clusters).reshape(block, clusters).astype(float)


def _score_draws(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the scores on resamples, (draws, runs), from (draws, items) and (items, runs, 2)."""
    items, runs, _ = values.shape
    return score_sums((weights @ values.reshape(items, runs * 2)).reshape(len(weights), runs, 2))
