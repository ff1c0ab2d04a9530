"""The answer at the top of the page: verdicts and numbers, which templates/summary.txt.j2 puts into sentences."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stiltwalk.analysis.looks import FUTILE, final_power
from stiltwalk.report.formatting import excludes_zero, format_half_width, format_number, format_p
from stiltwalk.report.labels import OrderLabels
from stiltwalk.report.views import MEAN_OF_TARGETS, Study, n_seeds, ranked_orders, score_columns
from stiltwalk.report.wording import render_paragraphs
from stiltwalk.utils.text import join_words

MAX_NAMES = 3  # of replaced runs
VERBS = {
    "matters": "matters",
    "negligible": "hardly matters",
    "undecided": "has no significant effect",
}
UNTESTED = "cannot be tested"


@dataclass(frozen=True)
class Answer:
    """What the experiments say about the effect of order on one target, on the mean of all, or on all together."""

    verdict: str
    """`matters`, `negligible` (surely smaller than the smallest effect of interest) or `undecided`."""
    p: float | None
    """Of the test of order; None if it was not possible."""
    upper: float | None
    """Upper bound of the standard deviation of order effects, in points; of all together, the largest of any target."""
    runs: int = 0
    """How many runs the joint test uses; 0 about a single target, and without a joint test."""
    targets: list[str] = field(default_factory=list)
    """The targets of the joint test."""
    apart: list[str] = field(default_factory=list)
    """Targets that are tested apart, because they lack too many runs."""
    sd: float | None = None
    low: float | None = None
    """The standard deviation of order effects and its lower bound; None for all targets together."""


@dataclass(frozen=True)
class TargetTest:
    """The test of the order on one target, corrected for the number of targets."""

    target: str
    p: float | None
    """Family-wise p value; None if the test was not possible."""
    verdict: str
    """`matters`, `negligible` or `undecided`, see `Answer`."""
    alpha: float | None
    """The level of the test."""
    constant: bool
    """Whether all scores are equal."""

    @property
    def significant(self) -> bool:
        """Whether the order has a significant effect on the target."""
        return self.p is not None and self.alpha is not None and self.p <= self.alpha

    @property
    def label(self) -> str:
        """The target with its p value."""
        return f"{self.target} ({format_p(self.p)})"


@dataclass(frozen=True)
class VarianceShares:
    """The variance components of the score: shares of the total, and the standard deviation between orders."""

    order: float
    seed: float
    run: float
    order_sd: float
    """In points."""
    noise_may_explain: bool
    """Whether the test of the order is not significant."""


@dataclass(frozen=True)
class Gain:
    """The difference between the selected order and a control, paired by seed, in points."""

    control: str
    """`baseline`, `single` or `joint`."""
    estimate: Mapping[str, Any]
    """Its mean, n, low and high; low is None without an interval."""

    @property
    def significant(self) -> bool:
        """Whether the interval excludes zero."""
        return excludes_zero(self.estimate)


@dataclass(frozen=True)
class SelectedOrder:
    """The order that English validation selects, and how it does on the test set."""

    order: str
    """Its label."""
    test_score: str | None
    """The mean over seeds, with half the width of its interval if there is one; None without a score."""
    better_order: str | None
    """The label of the order with the highest test score, if that is another one."""
    single_task: str | None
    """The label of the best single task."""
    n_validated: int
    """How many orders have validation scores to choose by."""
    gains: list[Gain]
    held_out_gain: float | None
    """The gain over the baseline if each seed's order is selected on the other seeds."""


@dataclass(frozen=True)
class Power:
    """What a comparison of two orders can detect."""

    seeds: int
    difference: float
    """The smallest true difference that a t test with the error of all runs detects with a power of 80 %, in points."""
    smallest: float
    seeds_needed: int | None
    """Seeds with which it detects the smallest difference of interest; None if there are too many."""
    seeds_low: int | None
    seeds_high: int | None
    """The 95 % interval of `seeds_needed`."""


@dataclass(frozen=True)
class Change:
    """Verdicts that are another one if the scores are analysed in another way."""

    check: str
    """`ranks` or `without_flagged`."""
    left_out: int
    """Flagged scores that the check leaves out."""
    claims: list[str]
    """What order then does and where, with p values, as `matters on xnli (p = 0.03)`."""


@dataclass(frozen=True)
class Caveats:
    """What is missing, left out or flagged."""

    missing_scores: int
    expected_scores: int
    rare_seed_runs: int
    rare_seeds: list[str]
    replaced: list[str]
    """Names of replaced runs; the last item may be `5 more`."""
    other_settings: int
    versions: list[str]
    """How many experiments ran with each version of the code, as `3 with 1a2b3c4`; empty if there is one version."""
    flagged_runs: int


@dataclass(frozen=True)
class Summary:
    """Everything that the sentences at the top of the page state."""

    answer: Answer
    """About all targets together, or about the only one."""
    mean: Answer | None
    """About the mean over the targets, which is another question; None with one target."""
    smallest: float
    """The smallest standard deviation of order effects that matters, in points."""
    target: str | None
    """The only target; None if there are several."""
    n_targets: int
    n_orders: int
    n_seeds: int
    alpha: float | None
    """The level of the tests; None if it is too early to test."""
    look: Mapping[str, Any] | None
    """Which of several declared looks this is, see `stiltwalk.analysis.looks.Look`."""
    final_power: float | None
    """The power of the complete sweep if order effects are as large as they appear at this look."""
    highest_power: float | None
    """The same for the largest effects that are not excluded."""
    futile: float
    """The power below which it is not worth going on."""
    progress: Mapping[str, int] | None
    """How many experiments of an incomplete sweep have `finished`, and `of` how many."""
    sensitivity: list[Change]
    target_tests: list[TargetTest]
    """In ascending order of p; targets without a test are last."""
    shares: VarianceShares | None
    has_validation: bool
    selected: SelectedOrder | None
    power: Power | None
    caveats: Caveats

    @property
    def tested(self) -> list[TargetTest]:
        """The targets that could be tested."""
        return [test for test in self.target_tests if test.p is not None]

    @property
    def significant_targets(self) -> list[TargetTest]:
        """The targets on which the order has a significant effect."""
        return [test for test in self.target_tests if test.significant]

    @property
    def negligible_targets(self) -> list[str]:
        """The targets on which the order surely matters by less than the smallest effect of interest."""
        return [test.target for test in self.target_tests if test.verdict == "negligible"]

    @property
    def untested(self) -> list[str]:
        """The targets that could not be tested, although their scores differ."""
        return [test.target for test in self.target_tests if test.p is None and not test.constant]

    @property
    def constant(self) -> list[str]:
        """The targets with equal scores."""
        return [test.target for test in self.target_tests if test.constant]

    @property
    def together(self) -> str:
        """The targets that the answer is about."""
        if len(self.tested) == 1:
            return f"{self.tested[0].target}, the only target that can be tested,"
        return f"{'both' if len(self.tested) == 2 else f'all {len(self.tested)}'} targets together"


def headline(summary: Summary) -> str:
    """The answer in one or two sentences."""
    return render_paragraphs("headline", summary=summary)[0]


def progress(summary: Summary) -> str:
    """A warning if the sweep is incomplete; otherwise empty."""
    return "".join(render_paragraphs("progress", summary=summary))


def paragraphs(summary: Summary) -> list[str]:
    """The evidence and the caveats that follow the headline."""
    return render_paragraphs("summary", summary=summary)


def summarise(study: Study, labels: OrderLabels) -> Summary:
    """Collect the verdicts and numbers of a study."""
    design, column, variance = study["design"], score_columns(study)[0], study["variance"]
    targets = design["targets"]
    alpha = variance["alpha"]
    tests = [
        TargetTest(name, of["p_family_wise"], of["verdict"], alpha, of["constant"])
        for name, of in variance["targets"].items()
    ]
    tests = [test for test in tests if test.target in targets]
    tests.sort(key=lambda test: (test.p is None, test.p or 0.0))
    of_column = collect_answer(variance["targets"][column])
    is_mean = column == MEAN_OF_TARGETS
    return Summary(
        answer=Answer(**variance["together"]) if is_mean else of_column,
        mean=of_column if is_mean else None,
        smallest=variance["smallest"],
        target=None if is_mean else column,
        n_targets=len(targets),
        n_orders=len(design["orders"]),
        n_seeds=n_seeds(study),
        alpha=alpha,
        look=study.get("look"),
        final_power=collect_final_power(study, "sd"),
        highest_power=collect_final_power(study, "high"),
        futile=FUTILE,
        progress=study.get("unfinished"),
        sensitivity=collect_changes(study),
        target_tests=tests,
        shares=collect_shares(study, column),
        has_validation=bool(study["best"][column]["chosen_on"]),
        selected=collect_selection(study, column, labels),
        power=collect_power(study, column),
        caveats=collect_caveats(study),
    )


def collect_answer(entry: Mapping[str, Any]) -> Answer:
    """The answer about one target or about the mean."""
    order_sd = entry["order_sd"]
    return Answer(entry["verdict"], entry["p"], order_sd["high"], sd=order_sd["sd"], low=order_sd["low"])


def collect_final_power(study: Study, bound: str) -> float | None:
    """The power of the complete sweep at the present look, on the target where it is largest.

    bound: `sd` for effects as large as they appear, `high` for the largest that are not excluded. None without a look,
    and without noise.
    """
    look, n_orders = study.get("look"), len(study["design"]["orders"])
    powers = []
    for target in study["design"]["targets"]:
        order_sd = study["variance"]["targets"][target]["order_sd"][bound]
        run_sd = study["detectable"][target]["noise_sd"]
        if look and order_sd is not None and run_sd:
            powers.append(final_power(order_sd, run_sd, n_orders, look["all_seeds"], look["last_alpha"]))
    return max((power for power in powers if not math.isnan(power)), default=None)


def collect_changes(study: Study) -> list[Change]:
    """The verdicts that change without flagged runs or on ranks, all targets together first."""
    changes = []
    for check, result in study["sensitivity"].items():
        places: dict[str, list[str]] = {}
        for target in sorted(result["differs"], key=["", *study["design"]["targets"]].index):
            entry = result["targets"][target] if target else result["together"]
            place = target or "all targets together"
            place += f" ({format_p(entry['p'])})" if entry["p"] is not None else ""
            verb = VERBS[entry["verdict"]] if entry["p"] is not None or entry["verdict"] == "negligible" else UNTESTED
            places.setdefault(verb, []).append(place)
        claims = [f"{verb} on {join_words(names)}" for verb, names in places.items()]
        changes += [Change(check, result["scores_left_out"], claims)] if claims else []
    return changes


def collect_shares(study: Study, column: str) -> VarianceShares | None:
    """The variance components; None if they could not be estimated."""
    entry = study["variance"]["targets"][column]
    shares = entry["shares_of_mean"]
    if shares.get("order") is None:
        return None
    return VarianceShares(
        order=shares["order"],
        seed=shares["seed"],
        run=shares["run"],
        order_sd=max(entry["components"]["order"], 0.0) ** 0.5,
        noise_may_explain=entry["p"] is not None and entry["p"] > study["variance"]["alpha"],
    )


def collect_selection(study: Study, column: str, labels: OrderLabels) -> SelectedOrder | None:
    """The order that validation selects; None with fewer than two orders or without validation scores."""
    entry = study["best"][column]
    if len(study["design"]["orders"]) < 2 or entry["order"] is None:
        return None
    mean = entry["test"]["mean"]
    test_score = better_order = None
    if mean is not None:
        test_score = f"{format_number(mean)} {format_half_width(entry['test'])}".strip()
        top = next(other for other in ranked_orders(study) if not other["control"])
        if mean < top["scores"][column]["mean"]:
            better_order = labels.order(top["steps"])
    controls = ["baseline", *(["single"] if entry["single"] else []), "joint"]
    gains = [Gain(control, entry[f"gain_over_{control}"]) for control in controls]
    return SelectedOrder(
        order=labels.order(entry["order"]),
        test_score=test_score,
        better_order=better_order,
        single_task=labels.order([entry["single"]]) if entry["single"] else None,
        n_validated=entry["candidates"],
        gains=[gain for gain in gains if gain.estimate["mean"] is not None],
        held_out_gain=entry["held_out_seed"]["gain_over_baseline"]["mean"],
    )


def collect_power(study: Study, column: str) -> Power | None:
    """What a t test of two orders can detect; None if the noise of a run is unknown."""
    entry = study["detectable"][column]
    if entry["difference"] is None:
        return None
    names = ("seeds", "difference", "smallest", "seeds_needed", "seeds_low", "seeds_high")
    return Power(**{name: entry[name] for name in names})


def collect_caveats(study: Study) -> Caveats:
    """Collect what is missing, left out or flagged."""
    cells, rare = study["design"]["cells"], study.get("left_out") or []
    replaced = [run["name"] for run in study.get("replaced") or []]
    if len(replaced) > MAX_NAMES:
        replaced = [*replaced[: MAX_NAMES - 1], f"{len(replaced) - MAX_NAMES + 1} more"]
    return Caveats(
        missing_scores=cells["expected"] - cells["present"],
        expected_scores=cells["expected"],
        rare_seed_runs=len(rare),
        rare_seeds=[str(seed) for seed in sorted({run["seed"] for run in rare})],
        replaced=replaced,
        other_settings=study.get("apart") or 0,
        versions=[f"{version['experiments']} with {version['commit'][:7]}" for version in study.get("versions") or []],
        flagged_runs=sum(bool(run["flags"]) for run in study.get("runs") or []),
    )
