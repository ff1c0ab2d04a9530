"""Items: their statistics from files, and intervals for new test items."""

import hashlib
import json
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stiltwalk.analysis.intervals import t_interval
from stiltwalk.analysis.item_statistics import ItemStatistics, read_item_statistics, score_sums
from stiltwalk.analysis.items import ItemCovariance, TargetItems, contrast_interval, item_covariance, read_items
from stiltwalk.scoring.aggregate import score_task
from stiltwalk.scoring.tasks import XTREME_TASKS
from stiltwalk.sweep import experiments
from stiltwalk.sweep.experiments import WORKSPACE, Experiment
from stiltwalk.utils.errors import InputError

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "../shared/golden/xtreme"
TARGETS = [name for name, task in XTREME_TASKS.items() if task.group]
LANGUAGES = ["de", "en", "zh"]
ORDERS: list[tuple[str, ...]] = [("mnli", "squad"), ("squad", "mnli"), ()]
TAGS = {"udpos": ["NOUN", "VERB", "SCONJ", "INTJ"], "panx": ["O", "B-PER", "I-PER", "I-LOC"]}
WORDS = ["the", "cat", "cats.", "中国", "北京"]


def write_labels(target: str, language: str, rng: random.Random) -> str:
    if target in TAGS:
        return "\n\n".join("\n".join(rng.choices(TAGS[target], k=rng.randint(1, 6))) for _ in range(20)) + "\n\n"
    if target == "bucc2018":
        return "".join(f"{language}-{number}\ten-{number}\n" for number in range(20))
    if XTREME_TASKS[target].suffix == "json":
        answers = [[{"text": " ".join(rng.choices(WORDS, k=2))} for _ in range(2)] for _ in range(20)]
        qas = [{"id": f"q{number}", "answers": texts} for number, texts in enumerate(answers)]
        return json.dumps({"data": [{"paragraphs": [{"context": "", "qas": qas}]}]})
    return "".join(f"{rng.randrange(2)}\n" for _ in range(20))


def write_predictions(target: str, labels: str, rng: random.Random) -> str:
    if XTREME_TASKS[target].suffix == "json":
        return json.dumps({f"q{number}": " ".join(rng.choices(WORDS, k=2)) for number in range(20)})
    lines = labels.split("\n")
    if target == "bucc2018":  # a sentence may be in several pairs
        pairs = rng.choices(lines[:-1], k=9)
        return "".join(f"{pair}\n{pair.split()[0]}\ten-99\n" for pair in pairs)
    return "\n".join(rng.choice([line, *filter(None, lines)]) if line else "" for line in lines)


class Sweep:
    """Experiments with random labels and predictions, in a cache as DVC lays it out."""

    def __init__(self, folder: Path) -> None:
        self.cache, self.rng = folder / "cache", random.Random(0)
        self.gold = {target: {one: write_labels(target, one, self.rng) for one in LANGUAGES} for target in TARGETS}
        self.gold["pawsx"] = dict.fromkeys(LANGUAGES, self.gold["pawsx"]["en"])  # the labels of translations
        labels = {f"data/labels/{target}": self.add_folder(target, files) for target, files in self.gold.items()}
        self.experiments = [self.make_run(order, seed, labels) for order in ORDERS for seed in (1, 2)]

    def make_run(self, order: tuple[str, ...], seed: int, labels: dict[str, str]) -> Experiment:
        outputs = dict(labels)
        for target, files in self.gold.items():
            predictions = {one: write_predictions(target, text, self.rng) for one, text in files.items()}
            outputs[f"predictions/{target}"] = self.add_folder(target, predictions)
        plan = {"targets": {target: {"data": {"source": "hub"}} for target in TARGETS}}
        cells: dict[str, dict] = {"targets": {target: {} for target in TARGETS}}
        params = {"order": list(order), "seed": seed, "plan": plan}
        return Experiment(f"{'-'.join(order)}-{seed}", "", "", params, {}, cells, outputs)

    def locate(self, md5: str) -> Path:
        return self.cache / "files/md5" / md5[:2] / md5[2:]

    def add(self, text: str, suffix: str = "") -> str:
        """Write an object of the cache and return its MD5."""
        md5 = hashlib.md5(text.encode()).hexdigest() + suffix
        self.locate(md5).parent.mkdir(parents=True, exist_ok=True)
        self.locate(md5).write_text(text, encoding="utf-8")
        return md5

    def add_folder(self, target: str, files: dict[str, str]) -> str:
        suffix = XTREME_TASKS[target].suffix
        listing = [{"md5": self.add(text), "relpath": f"test-{one}.{suffix}"} for one, text in files.items()]
        return self.add(json.dumps(listing), ".dir")

    def check_out(self, experiment: Experiment, path: str, root: Path) -> Path:
        """Copy an output folder to its place below another root."""
        folder = root / path
        folder.mkdir(parents=True)
        for entry in json.loads(self.locate(experiment.outputs[path]).read_text()):
            shutil.copyfile(self.locate(entry["md5"]), folder / entry["relpath"])
        return folder


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    sweep = Sweep(tmp_path)
    monkeypatch.setattr(experiments, "_cache_folder", lambda root: sweep.cache)
    return sweep


def test_items_of_every_target_give_the_scores_of_the_scorer(sweep: Sweep, tmp_path: Path) -> None:
    items, left_out = read_items(sweep.experiments)
    assert left_out == {} and list(items) == sorted(TARGETS)
    for number, run in enumerate(sweep.experiments):
        for target in TARGETS:
            paths = (f"data/labels/{target}", f"predictions/{target}")
            folders = [sweep.check_out(run, path, tmp_path / run.name) for path in paths]
            expected = score_task(target, *folders).by_language
            actual = items[target].scores.iloc[number].to_dict()
            assert items[target].runs[number] == (",".join(run.order), run.seed)
            assert actual == pytest.approx(expected, rel=0, abs=1e-9), target


@pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"XTREME's mock submission is not at {GOLDEN}")
@pytest.mark.parametrize("target", TARGETS)
def test_items_give_the_scores_of_xtremes_mock_submission(target: str) -> None:
    labels, predictions = (GOLDEN / kind / target for kind in ("labels", "predictions"))
    for language, expected in score_task(target, labels, predictions).by_language.items():
        name = f"test-{language}.{XTREME_TASKS[target].suffix}"
        items = read_item_statistics(target, language, labels / name, [predictions / name], translated=False)
        assert score_sums(items.values.sum(axis=0)) == pytest.approx(expected, rel=0, abs=1e-9)


def test_translations_share_their_ids(sweep: Sweep) -> None:
    items, _ = read_items(sweep.experiments)
    shared = {
        target: set.intersection(*(set(language.ids) for language in items[target].languages.values()))
        for target in TARGETS
    }
    # The languages of the simulated XNLI have different labels, so that their rows cannot be translations.
    assert {target for target, ids in shared.items() if ids} == {"pawsx", "xquad", "mlqa", "tydiqa"}


def test_targets_that_the_cache_lacks_are_left_out(sweep: Sweep) -> None:
    first, second, *others = sweep.experiments
    sweep.locate(first.outputs["predictions/xnli"]).unlink()
    second = replace(second, outputs={**second.outputs, "data/labels/panx": "another.dir"})
    items, left_out = read_items([first, second, *others])
    assert items.keys() == set(TARGETS) - {"xnli", "panx"}
    assert left_out == {
        "panx": "its experiments have different test items",
        "xnli": f"the cache lacks its predictions of {first.name}",
    }
    covariance = item_covariance(items, TARGETS, draws=20)
    assert covariance.keys() == items.keys()  # without "all", the mean over all targets
    with pytest.raises(InputError, match="two experiments have the order 'mnli,squad' and the seed 1; pass one"):
        read_items([*sweep.experiments, first])


def test_the_run_in_the_working_tree_is_read_there(sweep: Sweep, tmp_path: Path) -> None:
    first = sweep.experiments[0]
    expected = read_items([first])[0]["udpos"].scores
    for path in first.outputs:
        sweep.check_out(first, path, tmp_path / "checkout")
    shutil.rmtree(sweep.cache)
    items, _ = read_items([replace(first, name=WORKSPACE)], tmp_path / "checkout")
    pd.testing.assert_frame_equal(items["udpos"].scores, expected)


MEANS = {"a,b": 0.5, "b,a": 0.3}
RUN_SD, ITEM_SD, ORDER_ITEM_SD = 0.1, 1.0, 0.7  # in units of the noise of a single answer


def simulate_items(
    rng: np.random.Generator, seeds: int, items: int = 200, shared: bool = True, luck: np.ndarray | None = None
) -> TargetItems:
    """Simulate accuracy in two languages with a probit model of two orders.

    Items differ in how difficult they are, in both languages and for all runs (`ITEM_SD`), and in which order solves
    them (`ORDER_ITEM_SD`). Runs differ by their seed (`RUN_SD`, or `luck`).

    shared: whether the items have the same ids in both languages.
    """
    runs = pd.MultiIndex.from_product([MEANS, range(seeds)], names=["order", "seed"])
    luck = rng.normal(0, RUN_SD, len(runs)) if luck is None else luck
    difficulty = rng.normal(0, ITEM_SD, (items, 1))
    by_order = np.repeat(rng.normal(0, ORDER_ITEM_SD, (items, len(MEANS))), seeds, axis=1)
    languages = {}
    for language in ("de", "en"):
        values = np.ones((items, len(runs), 2))
        level = np.repeat(list(MEANS.values()), seeds) + luck + difficulty + by_order
        values[..., 0] = level + rng.normal(size=level.shape) > 0
        ids = [f"{'' if shared else language}{number}" for number in range(items)]
        languages[language] = ItemStatistics(ids, values)
    return TargetItems(runs, languages)


def true_difference() -> float:
    """The expected score of "a,b" minus that of "b,a", over items and seeds."""
    scale = (1 + RUN_SD**2 + ITEM_SD**2 + ORDER_ITEM_SD**2) ** 0.5
    return float(100 * (stats.norm.cdf(MEANS["a,b"] / scale) - stats.norm.cdf(MEANS["b,a"] / scale)))


def test_the_covariance_is_that_over_new_test_sets() -> None:
    rng = np.random.default_rng(0)
    luck = rng.normal(0, RUN_SD, 6)
    samples = [simulate_items(rng, 3, luck=luck) for _ in range(400)]
    means = pd.DataFrame([sample.scores.mean(axis=1).groupby(level="order").mean() for sample in samples])
    estimates = [item_covariance({"xnli": sample}, [], draws=200)["xnli"].orders for sample in samples[:100]]
    actual = sum(estimate.to_numpy() for estimate in estimates) / 100
    assert actual == pytest.approx(means.cov().to_numpy(), rel=0.15)


def test_translations_give_a_larger_variance_than_independent_items() -> None:
    rng = np.random.default_rng(0)
    clustered = item_covariance({"xnli": simulate_items(rng, 3)}, [])["xnli"]
    independent = item_covariance({"xnli": simulate_items(rng, 3, shared=False)}, [])["xnli"]
    assert np.diag(clustered.orders).min() > 1.4 * np.diag(independent.orders).max()


def test_the_mean_over_targets_is_of_independent_samples() -> None:
    rng = np.random.default_rng(0)
    items = {target: simulate_items(rng, 2) for target in ("xnli", "pawsx")}
    items["pawsx"] = TargetItems(
        items["pawsx"].runs[1:],
        {name: ItemStatistics(one.ids, one.values[:, 1:]) for name, one in items["pawsx"].languages.items()},
    )
    covariance = item_covariance(items, ["xnli", "pawsx"], draws=50)
    runs = items["pawsx"].runs
    expected = (covariance["xnli"].runs.loc[runs, runs] + covariance["pawsx"].runs) / 4
    pd.testing.assert_frame_equal(covariance["all"].runs, expected)
    again = item_covariance({"pawsx": items["pawsx"]}, ["xnli", "pawsx"], draws=50)
    pd.testing.assert_frame_equal(again["pawsx"].runs, covariance["pawsx"].runs)


@pytest.mark.parametrize(("seeds", "over_seeds_below"), [(3, 0.95), (5, 0.91), (10, 0.82)])
def test_intervals_hold_for_new_seeds_and_new_items(seeds: int, over_seeds_below: float) -> None:
    rng, truth, repetitions = np.random.default_rng(seeds), true_difference(), 400
    covered = {"seeds and items": 0, "seeds": 0}
    for _ in range(repetitions):
        items = simulate_items(rng, seeds)
        scores = items.scores.mean(axis=1)
        covariance = item_covariance({"xnli": items}, [], draws=200)["xnli"]
        interval = contrast_interval(scores, {"a,b": 1, "b,a": -1}, covariance)
        covered["seeds and items"] += interval["low"] <= truth <= interval["high"]
        interval = t_interval(scores["a,b"] - scores["b,a"])
        covered["seeds"] += interval["low"] <= truth <= interval["high"]
    assert covered["seeds and items"] / repetitions >= 0.93
    assert covered["seeds"] / repetitions < over_seeds_below


def test_a_contrast_counts_the_seeds_that_all_its_orders_have() -> None:
    runs = pd.MultiIndex.from_product([MEANS, [1, 2, 3]], names=["order", "seed"])
    scores = pd.Series([70.0, 72.0, 80.0, 69.0, 70.0, np.nan], runs)
    items = ItemCovariance(pd.DataFrame(np.diag([4.0, 4.0, 9.0, 4.0, 4.0, 9.0]), runs, runs), 100.0)
    # The differences are 1 and 2. Seeds: sd 0.71 / sqrt(2) = 0.5. Items: four runs, each 4 / 2**2, so 4.
    interval = contrast_interval(scores, {"a,b": 1, "b,a": -1}, items)
    assert (interval["mean"], interval["n"]) == (1.5, 2)
    assert (interval["seed_error"], interval["item_error"]) == pytest.approx((0.5, 2.0))
    assert interval["df"] == pytest.approx(4.25**2 / (0.25**2 + 16 / 100))
    # With one degree of freedom, the interval over seeds is wider than that with Satterthwaite's.
    assert interval["high"] == pytest.approx(1.5 + stats.t.ppf(0.975, 1) * 0.5)
    own = contrast_interval(scores, {"a,b": 1}, items)
    assert (own["mean"], own["n"], own["item_error"]) == pytest.approx((74, 3, 17**0.5 / 3))
    for contrast in ({"b,a": 1, "unknown": -1}, {"a,b": 1}):
        few = contrast_interval(scores.iloc[[0, 3]], contrast, items)
        assert few["n"] < 2 and np.isnan([few["low"], few["high"]]).all()


def test_items_are_read_without_torch() -> None:
    code = "import sys, stiltwalk.analysis.items; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "src", capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
