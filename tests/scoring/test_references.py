"""Our metrics compared with those of other packages, on random inputs."""

import random
import warnings

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from torchmetrics.functional.text import squad as torchmetrics_squad

from stiltwalk.scoring.answers import squad_scores
from stiltwalk.scoring.metrics import accuracy, chunk_f1, pair_f1

TAGS = [
    "O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC",
]  # fmt: skip
SENTENCES = st.lists(st.lists(st.sampled_from(TAGS), min_size=1, max_size=9), min_size=1, max_size=8)


@settings(max_examples=300, deadline=None)
@given(SENTENCES, st.integers(0, 2**32), st.floats(0, 1))
def test_chunk_scores_equal_those_of_seqeval(gold: list[list[str]], seed: int, noise: float) -> None:
    """Including malformed sequences: I- without a B- before it, and I- of a type that differs from the tag before."""
    rng = random.Random(seed)
    predicted = [[rng.choice(TAGS) if rng.random() < noise else tag for tag in tags] for tags in gold]
    gold_lines, predicted_lines = (
        [line for tags in sentences for line in [*tags, ""]][:-1] for sentences in (gold, predicted)
    )
    ours = chunk_f1(gold_lines, predicted_lines, "en")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns if there is nothing to count
        theirs = [100 * float(score(gold, predicted)) for score in (f1_score, precision_score, recall_score)]
    assert [ours["f1"], ours["precision"], ours["recall"]] == pytest.approx(theirs)


WORDS = st.lists(
    st.sampled_from(
        ["the", "The", "a", "an", "cat", "cats", "Cat!", "1914", "U.S.", "-", "naïve", "北京", "к", " ", "x,y"]
    ),
    min_size=1,
    max_size=6,
).map(" ".join)

NORMALISED_AWAY = {"the", "a", "an", "-"}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.lists(WORDS, min_size=1, max_size=3), WORDS), min_size=1, max_size=5))
def test_answer_scores_equal_those_of_torchmetrics(rows: list[tuple[list[str], str]]) -> None:
    # If normalisation leaves nothing of a text, torchmetrics follows SQuAD 2.0 (two empty answers match), but XTREME
    # follows SQuAD 1.1.
    assume(all(set(text.lower().split()) - NORMALISED_AWAY for golds, answer in rows for text in [*golds, answer]))
    ours = squad_scores([gold for gold, _ in rows], [answer for _, answer in rows], "en")
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
def test_accuracy_equals_that_of_scikit_learn(rows: list[tuple[str, str]]) -> None:
    gold, predicted = zip(*rows, strict=True)
    assert accuracy(gold, predicted, "en")["accuracy"] == pytest.approx(100 * accuracy_score(gold, predicted))


PAIRS = st.sets(st.tuples(st.sampled_from("abcd"), st.sampled_from("wxyz")), min_size=1)


@given(PAIRS, PAIRS)
def test_pair_scores_equal_those_of_scikit_learn(gold: set[tuple[str, str]], predicted: set[tuple[str, str]]) -> None:
    pairs = sorted(gold | predicted)
    y_true, y_pred = ([pair in side for pair in pairs] for side in (gold, predicted))
    precision, recall, f1, _ = precision_recall_fscore_support(y_true, y_pred, average="binary", zero_division=0)
    ours = pair_f1(gold, predicted, "de")
    assert [ours["precision"], ours["recall"], ours["f1"]] == pytest.approx([100 * precision, 100 * recall, 100 * f1])
