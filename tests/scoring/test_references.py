"""Our metrics against packages that no one here wrote, on random inputs."""

import random
import warnings

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from torchmetrics.functional.text import squad as torchmetrics_squad

from stiltwalk.scoring.answers import squad
from stiltwalk.scoring.metrics import accuracy, chunk_f1, pair_f1

TAGS = [
    "O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC",
]  # fmt: skip
SENTENCES = st.lists(st.lists(st.sampled_from(TAGS), min_size=1, max_size=9), min_size=1, max_size=8)


@settings(max_examples=300, deadline=None)
@given(SENTENCES, st.integers(0, 2**32), st.floats(0, 1))
def test_entity_scores_are_seqevals(gold: list[list[str]], seed: int, noise: float) -> None:
    """Malformed sequences too: I- without a B- before it, I- of another type than the tag before."""
    rng = random.Random(seed)
    predicted = [[rng.choice(TAGS) if rng.random() < noise else tag for tag in tags] for tags in gold]
    gold_lines, lines = ([line for tags in side for line in [*tags, ""]][:-1] for side in (gold, predicted))
    ours = chunk_f1(gold_lines, lines, "en")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval's, where there is nothing to count
        theirs = [100 * float(score(gold, predicted)) for score in (f1_score, precision_score, recall_score)]
    assert [ours["f1"], ours["precision"], ours["recall"]] == pytest.approx(theirs)


WORDS = st.lists(
    st.sampled_from(
        ["the", "The", "a", "an", "cat", "cats", "Cat!", "1914", "U.S.", "-", "naïve", "北京", "к", " ", "x,y"]
    ),
    min_size=1,
    max_size=6,
).map(" ".join)

EMPTY = {"the", "a", "an", "-"}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.lists(WORDS, min_size=1, max_size=3), WORDS), min_size=1, max_size=5))
def test_answers_score_as_in_torchmetrics(rows: list[tuple[list[str], str]]) -> None:
    # Where nothing is left of a text, torchmetrics follows SQuAD 2.0 (two empty answers agree), XTREME SQuAD 1.1.
    assume(all(set(text.lower().split()) - EMPTY for golds, answer in rows for text in [*golds, answer]))
    ours = squad([gold for gold, _ in rows], [answer for _, answer in rows], "en")
    theirs = torchmetrics_squad(
        [{"prediction_text": answer, "id": str(i)} for i, (_, answer) in enumerate(rows)],
        [
            {"answers": {"answer_start": [0] * len(gold), "text": gold}, "id": str(i)}
            for i, (gold, _) in enumerate(rows)
        ],
    )
    assert ours["exact_match"] == pytest.approx(float(theirs["exact_match"]), rel=1e-5)
    assert ours["f1"] == pytest.approx(float(theirs["f1"]), rel=1e-5)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1))
def test_accuracy_is_scikit_learns(rows: list[tuple[str, str]]) -> None:
    gold, predicted = zip(*rows, strict=True)
    assert accuracy(gold, predicted, "en")["accuracy"] == pytest.approx(100 * accuracy_score(gold, predicted))


PAIRS = st.sets(st.tuples(st.sampled_from("abcd"), st.sampled_from("wxyz")), min_size=1)


@given(PAIRS, PAIRS)
def test_mined_pairs_score_as_in_scikit_learn(gold: set[tuple[str, str]], predicted: set[tuple[str, str]]) -> None:
    every = sorted(gold | predicted)
    truth, guess = ([pair in side for pair in every] for side in (gold, predicted))
    precision, recall, f1, _ = precision_recall_fscore_support(truth, guess, average="binary", zero_division=0)
    ours = pair_f1(gold, predicted, "de")
    assert [ours["precision"], ours["recall"], ours["f1"]] == pytest.approx([100 * precision, 100 * recall, 100 * f1])
