"""The sentences at the top of the page: which verdict they give, and what they say about doubts."""

import json
from typing import Any

import pytest

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


def set_p(study: dict[str, Any], p: float | None, **family_wise: float | None) -> None:
    """Change the p value over all targets, and those of single targets after correction."""
    study["variance"]["targets"]["all"]["p"] = p
    for target, value in family_wise.items():
        study["variance"]["targets"][target]["p_family_wise"] = value


def test_a_significant_effect_is_reported_with_its_p_value(study):
    set_p(study, 0.0123)
    summary = summarise_three(study)
    assert headline(summary) == "We find a significant effect of order over all 2 targets (p\u00a0=\u00a00.012)."
    assert not any(NOISE in paragraph for paragraph in paragraphs(summary))
    set_p(study, 0.0001)
    assert headline(summarise_three(study)).endswith("over all 2 targets (p\u00a0<\u00a00.001).")


def test_only_the_test_over_all_targets_answers_whether_order_matters(study):
    """Significant tests of single targets, although corrected for their number, do not change the headline."""
    set_p(study, 0.2, xnli=0.01, tatoeba=0.01)
    summary = summarise_three(study)
    assert headline(summary) == "We find no significant effect of order over all 2 targets (p\u00a0=\u00a00.20)."
    text = paragraphs(summary)
    assert "After correction for 2 targets, order has a significant effect on every one of them." in text
    assert any(NOISE in paragraph for paragraph in text)


def test_targets_answer_if_the_mean_over_targets_cannot_be_tested(study):
    set_p(study, None, xnli=0.01, tatoeba=0.2)
    summary = summarise_three(study)
    assert headline(summary) == (
        "We find a significant effect of order on xnli. "
        "The mean over all 2 targets could not be tested because too few runs have a score for every target."
    )
    expected = "order has a significant effect on xnli (p\u00a0=\u00a00.010); we find none on the others."
    assert f"After correction for 2 targets, {expected}" in paragraphs(summary)


def test_without_any_significant_target_the_smallest_p_is_named(study):
    set_p(study, 0.2, xnli=0.4, tatoeba=0.3)
    expected = (
        "order has no significant effect on any of them; the smallest p value is that of tatoeba (p\u00a0=\u00a00.30)."
    )
    assert f"After correction for 2 targets, {expected}" in paragraphs(summarise_three(study))


def test_the_only_target_is_named_in_the_headline():
    study = make_small_study(keep=lambda table: table.query("target == 'xnli'"))
    study["variance"]["targets"]["xnli"]["p"] = 0.04
    assert headline(summarise_three(study)) == "We find a significant effect of order on xnli (p\u00a0=\u00a00.040)."
    study["variance"]["targets"]["xnli"]["p"] = 0.4
    assert headline(summarise_three(study)) == "We find no significant effect of order on xnli (p\u00a0=\u00a00.40)."


def test_too_few_runs_and_an_incomplete_sweep_make_no_claim():
    orders = ["mnli,squad,hellaswag", "squad,mnli,hellaswag"]
    study = make_study(orders=orders, controls=[""], n_languages=2) | {"unfinished": {"finished": 9, "of": 36}}
    summary = summarise_three(study)
    warning = "The sweep is incomplete (9 of 36 experiments have finished); these results may change."
    no_power = "2 orders with 3 seeds cannot show that the order matters: the smallest possible p is 1/4"
    assert progress(summary) == warning
    answer = f"These experiments cannot yet tell whether order matters. {no_power}; use 6 seeds or more."
    assert headline(summary) == answer
    assert paragraphs(summary)[0] == warning


def test_gains_that_are_not_significant_are_called_so(study):
    best = study["best"]["all"]
    best["gain_over_baseline"] |= {"mean": 0.5, "low": 0.1, "high": 0.9}
    best["gain_over_single"] |= {"mean": -0.5, "low": -1.1, "high": 0.1}
    best["gain_over_joint"] |= {"mean": 0.0, "n": 1, "low": None, "high": None}
    text = " ".join(paragraphs(summarise_three(study)))
    assert "Compared with no intermediate training, it gains 0.50 points [+0.10, +0.90]." in text
    expected = "it loses 0.50 points [−1.10, +0.10], which is not significant."
    assert f"Compared with the best single task (mnli), {expected}" in text
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
