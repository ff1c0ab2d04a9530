"""The sentences at the top of the page: which verdict they give, and what they say about doubts."""

import json
import random
import re
from typing import Any

import pytest

from simulate import KINDS, simulate_all_orders
from stiltwalk.analysis.effects import order_effects
from stiltwalk.analysis.order_test import decide
from stiltwalk.report.labels import OrderLabels
from stiltwalk.report.summary import Summary, headline, paragraphs, progress, summarise
from studies import THREE, make_small_study, make_study

NOISE = "Run-to-run noise alone may explain these differences."


@pytest.fixture(scope="module")
def large_effect() -> dict[str, Any]:
    """A study in which order has an effect on both targets."""
    position = {"mnli": [0, 0, 0], "squad": [0, 0, 3], "hellaswag": [0, 0, -1]}
    return make_small_study(position=position, noise_sd=0.3)


@pytest.fixture
def study(large_effect: dict[str, Any]) -> dict[str, Any]:
    """A copy that a test may change."""
    copy: dict[str, Any] = json.loads(json.dumps(large_effect))
    return copy


def summarise_three(study: dict[str, Any]) -> Summary:
    return summarise(study, OrderLabels([THREE]))


def set_answer(study: dict[str, Any], **values: Any) -> None:
    """Change the answer about all targets together."""
    study["variance"]["together"] |= values


def set_p(study: dict[str, Any], **family_wise: float | None) -> None:
    """Change the p values of single targets after correction."""
    for target, value in family_wise.items():
        study["variance"]["targets"][target]["p_family_wise"] = value


def test_a_significant_effect_is_reported_with_its_p_value(study):
    set_answer(study, p=0.0123, verdict="matters")
    answer = headline(summarise_three(study))
    assert answer == "Order matters: its effect on both targets together is significant (p\u00a0=\u00a00.012)."
    set_answer(study, p=0.0001)
    assert headline(summarise_three(study)).endswith("together is significant (p\u00a0<\u00a00.001).")


def test_not_significant_never_stands_alone(study):
    """The largest effect that is not excluded stands beside it."""
    set_answer(study, p=0.2, upper=4.25, verdict="undecided")
    assert headline(summarise_three(study)) == (
        "These experiments cannot yet tell whether order matters. Its effect on both targets together is not "
        "significant (p\u00a0=\u00a00.20), but a standard deviation of order effects of up to 4.2 points on a target "
        "is not excluded."
    )


def test_an_effect_that_is_surely_small_is_called_so(study):
    set_answer(study, p=0.04, upper=0.4, verdict="negligible")
    assert headline(summarise_three(study)) == (
        "Order hardly matters: with 95 % confidence the standard deviation of order effects is below 0.40 points on "
        "every target, and 1.0 is the smallest of interest."
    )
    study["variance"]["targets"]["xnli"]["verdict"] = "negligible"
    expected = (
        "Significant or not, it hardly matters on xnli, where the standard deviation of its effects is below 1.0 points"
    )
    assert any(expected in paragraph for paragraph in paragraphs(summarise_three(study)))


def test_the_mean_over_targets_is_another_question(study):
    study["variance"]["targets"]["all"] |= {
        "p": 0.31,
        "verdict": "undecided",
        "order_sd": {"sd": 1.25, "low": 0.0, "high": 4.0},
    }
    text = paragraphs(summarise_three(study))
    assert (
        "Whether order matters for the mean over targets is another question. We cannot tell (p\u00a0=\u00a00.31). "
        "There the standard deviation of order effects is about 1.2 points, 95 % interval 0.0 to 4.0."
    ) in text
    assert any(NOISE in paragraph for paragraph in text)


def test_without_any_significant_target_the_smallest_p_is_named(study):
    set_p(study, xnli=0.4, tatoeba=0.3)
    expected = (
        "order has no significant effect on any of them; the smallest p value is that of tatoeba (p\u00a0=\u00a00.30)."
    )
    assert f"After correction for 2 targets, {expected}" in paragraphs(summarise_three(study))


def test_the_only_target_is_named_in_the_headline():
    study = make_small_study(keep=lambda table: table.query("target == 'xnli'"))
    entry = study["variance"]["targets"]["xnli"]
    entry |= {"p": 0.04, "verdict": "matters", "order_sd": {"sd": 2.0, "low": 0.5, "high": 6.0}}
    assert headline(summarise_three(study)) == (
        "Order matters on xnli (p\u00a0=\u00a00.040): the standard deviation of order effects is about 2.0 points, "
        "95 % interval 0.5 to 6.0."
    )
    entry |= {"p": 0.4, "verdict": "undecided"}
    assert "Its effect on xnli is not significant (p\u00a0=\u00a00.40)" in headline(summarise_three(study))


def test_one_seed_and_an_incomplete_sweep_make_no_claim():
    orders = ["mnli,squad,hellaswag", "squad,mnli,hellaswag"]
    study = make_study(orders=orders, controls=[""], seeds=(1,), n_languages=2)
    summary = summarise_three(study | {"unfinished": {"finished": 9, "of": 36}})
    warning = "The sweep is incomplete (9 of 36 experiments have finished); these results may change."
    assert progress(summary) == warning
    assert headline(summary).startswith(
        "These experiments cannot yet tell whether order matters. The experiments cover 1 seed."
    )
    assert paragraphs(summary)[0] == warning


def test_gains_that_are_not_significant_are_called_so(study):
    best = study["best"]["all"]
    best["gain_over_baseline"] |= {"mean": 0.5, "low": 0.1, "high": 0.9}
    best["gain_over_single"] |= {"mean": -0.5, "low": -1.1, "high": 0.1}
    best["gain_over_joint"] |= {"mean": 0.0, "n": 1, "low": None, "high": None}
    text = " ".join(paragraphs(summarise_three(study)))
    assert "Compared with no intermediate training, it gains 0.50 points [+0.10, +0.90]." in text
    expected = "it loses 0.50 points [−1.10, +0.10], which is not significant."
    assert f"Compared with the single task that validation selects (mnli), {expected}" in text
    expected = "it gains 0.00 points, but with 1 seed there is no interval."
    assert f"Compared with joint training on all tasks in one step, {expected}" in text


def test_excluded_runs_and_versions_of_the_code_are_mentioned(study):
    study |= {
        "left_out": [{"name": "a", "order": ["mnli"], "seed": seed} for seed in (43, 42)],
        "replaced": [{"name": name, "order": ["mnli"], "seed": 1} for name in "abcde"],
        "apart": 1,
        "versions": [{"experiments": 3, "commit": "b" * 40}, {"experiments": 1, "commit": "c" * 40}],
    }
    text = paragraphs(summarise_three(study))[-1]
    assert "We exclude 2 runs with a seed that few orders have (42 and 43)." in text
    assert "the last one that has a target gives its score; we exclude a, b and 3 more." in text
    assert "We exclude 1 experiment with other settings;" in text
    assert "2 versions of the code for training and scoring (3 with bbbbbbb and 1 with ccccccc)" in text
    assert text.endswith("One run has a flag; see the table of runs below.")


def sentences(study: dict[str, Any]) -> str:
    summary = summarise_three(study)
    return " ".join([headline(summary), *paragraphs(summary)]).replace("\u00a0", " ")


@pytest.mark.parametrize("seed", range(40))
def test_every_sentence_follows_from_the_table_of_verdicts(study, seed):
    """Whatever the verdicts are, the page never contradicts them."""
    rng = random.Random(seed)
    variance = study["variance"]
    verdicts = {}
    for place in ("together", "all", "xnli", "tatoeba"):
        p, upper = rng.choice([0.0001, 0.03, 0.2, 0.9]), rng.choice([0.3, 0.7, 2.0, 9.0])
        verdicts[place] = decide(p, upper, variance["smallest"], variance["alpha"])
        entry = variance["together"] if place == "together" else variance["targets"][place]
        entry |= {"p": p, "verdict": verdicts[place]}
        if place == "together":
            entry["upper"] = upper
        else:
            entry |= {"p_family_wise": p, "order_sd": {"sd": upper / 2, "low": 0.0, "high": upper}}
    study["sensitivity"] = {}
    text = sentences(study)
    starts = {
        "matters": "Order matters:",
        "negligible": "Order hardly matters:",
        "undecided": "These experiments cannot",
    }
    assert [verdict for verdict, start in starts.items() if text.startswith(start)] == [verdicts["together"]]
    ends = {
        "matters": "It does (",
        "negligible": "It hardly does, by less than 1.0 points.",
        "undecided": "We cannot tell (",
    }
    question = text.partition("for the mean over targets is another question. ")[2]
    assert [verdict for verdict, end in ends.items() if question.startswith(end)] == [verdicts["all"]]
    significant = {name for name in ("xnli", "tatoeba") if variance["targets"][name]["p_family_wise"] <= 0.05}
    claim = re.search(r"order has (a|no) significant effect on (.*?)[.;]", text)
    assert claim
    named = {name for name in ("xnli", "tatoeba") if f"{name} (p" in claim[2]}
    assert named == significant if claim[1] == "a" and "every" not in claim[2] else len(significant) in (0, 2)
    small = re.search(r"it hardly matters on (.*?), where", text)
    named = {name for name in ("xnli", "tatoeba") if small and name in small[1]}
    assert named == {name for name in ("xnli", "tatoeba") if verdicts[name] == "negligible"}


def test_an_unfinished_sweep_is_not_tested_unless_looks_were_declared():
    scores, validation = simulate_all_orders(seed_sd=1)
    study = order_effects(scores, validation, THREE, KINDS, draws=99, alpha=None)
    assert {entry["p"] for entry in study["variance"]["targets"].values()} == {None}
    study |= {"unfinished": {"finished": 9, "of": 36}, "title": ""}
    text = sentences(study)
    assert (
        "The sweep is incomplete, so it is not tested yet" in text and "p =" not in text and "significant" not in text
    )
    study = order_effects(scores, validation, THREE, KINDS, draws=99, alpha=0.0134)
    look = {"number": 2, "of": 3, "alpha": 0.0134, "seeds": [1, 2, 3], "all_seeds": 5, "last_alpha": 0.03}
    text = sentences(study | {"look": look, "title": ""})
    assert "This is look 2 of 3, at 3 seeds of 5. It tests at a level of 0.013" in text
    assert "the complete sweep would be significant with a probability of" in text


def test_verdicts_that_depend_on_a_flagged_run_are_mentioned():
    """A collapsed run hides an effect that the other runs show; ranks see it as well."""
    position = {"mnli": [0, 0, 0], "squad": [0, 0, 3], "hellaswag": [0, 0, 0]}
    scores, validation = simulate_all_orders(targets=["xnli", "udpos"], position=position, noise_sd=0.5)
    collapsed = (scores.order == "mnli,squad,hellaswag") & (scores.seed == 2) & (scores.target == "xnli")
    scores.loc[collapsed, "score"] -= 40
    scores["flag"] = ["not learned" if flag else "" for flag in collapsed]
    study = order_effects(scores, validation, THREE, KINDS, draws=999)
    assert study["variance"]["targets"]["xnli"]["verdict"] == "undecided"
    assert study["sensitivity"]["without_flagged"]["scores_left_out"] == 1
    text = sentences(study | {"title": ""})
    assert "Some verdicts depend on how the scores are analysed." in text
    assert re.search(r"Without 1 flagged score, order matters on xnli \(p [=<] 0\.0", text)
    assert (
        "udpos (" not in text.partition("Some verdicts")[2].partition("Of the variance")[0]
    )  # its verdict is the same
    clean = order_effects(scores[~collapsed], validation, THREE, KINDS, draws=999)
    assert clean["sensitivity"].keys() == {"ranks"}
