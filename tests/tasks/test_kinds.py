"""Each kind of task: what goes into the model, and how its answers come back out."""

import itertools
import json

import numpy as np
import pyarrow as pa
import pytest

from conftest import encoded
from stiltwalk.tasks.base_tokenize import Tokens
from stiltwalk.tasks.choice import head as choice
from stiltwalk.tasks.pair import head as pair
from stiltwalk.tasks.qa import head as qa
from stiltwalk.tasks.tables import schema
from stiltwalk.tasks.tagging import head as tagging
from stiltwalk.training.batching import IGNORED, Encoded
from stiltwalk.utils.errors import InputError

QA = {"max_length": 20, "doc_stride": 4, "max_query_length": 6, "max_answer_length": 4, "n_best": 5}


def table(kind: str, rows: list[dict], gold: bool = True) -> pa.Table:
    return pa.Table.from_pylist(rows, schema(kind, gold))


def decoded(tokens: Tokens, ids: np.ndarray) -> str:
    return tokens.backend.decode(ids.tolist(), skip_special_tokens=False)


def spans(found: Encoded) -> tuple[list[int], list[int]]:
    """First and last token of the answer in every window."""
    return found.columns["start"].values.tolist(), found.columns["end"].values.tolist()


def offsets_of(found: Encoded) -> list[list[tuple[int, int]]]:
    sides = zip(found.lists("begins"), found.lists("ends"), strict=True)
    return [list(zip(begins.tolist(), ends.tolist(), strict=True)) for begins, ends in sides]


def test_pair_puts_both_texts_in_one_row_and_cuts_the_longer_one(tokens):
    options = {"labels": ["yes", "no"], "max_length": 10}
    kind = pair.Kind(options)
    rows = table("pair", [{"text_a": "the red cat sees the big dog .", "text_b": "a dog .", "label": "no"}])
    found = encoded("pair", rows, True, options, tokens)
    assert decoded(tokens, next(found.lists("input_ids"))) == "<s> the red cat </s> </s> a dog . </s>"
    assert found.columns["labels"].values.tolist() == [1]
    assert kind.decode([np.array([0.1, 2.0])], found, rows) == ["no"]


def test_tagging_splits_a_long_sentence_and_joins_it_again(tokens):
    options = {"labels": ["D", "A", "N"], "max_length": 5}
    kind = tagging.Kind(options)
    words, tags = ["the", "red", "cat", "\u200b", "the", "dog", "."], ["D", "A", "N", "A", "D", "N", "A"]
    rows = table("tagging", [{"tokens": ["dog"], "tags": ["N"]}, {"tokens": words, "tags": tags}])
    found = encoded("tagging", rows, True, options, tokens)
    assert max(found.lengths) <= 5 and found.rows.tolist() == [0, 1, 1, 1]
    assert int(found.weights.sum()) == 8  # every word is learnt from, the one without sub-tokens too
    perfect = []
    for labels in found.lists("labels"):
        values = np.zeros((len(labels), 3), np.float32)
        for position, label in enumerate(labels):
            if label != IGNORED:
                values[position, label] = 1
        perfect.append(values)
    assert kind.decode(perfect, found, rows) == [["N"], tags]
    assert kind.evaluate([["N"], tags], rows) == {"f1": 100.0}


def test_tagging_of_an_empty_sentence_keeps_its_place(tokens, tmp_path):
    options = {"labels": ["D", "N"], "max_length": 8}
    kind = tagging.Kind(options)
    rows = table("tagging", [{"tokens": []}, {"tokens": ["cat"]}], gold=False)
    found = encoded("tagging", rows, False, options, tokens)
    assert "labels" not in found.columns
    predicted = kind.decode([np.eye(2)[[0, 0]], np.eye(2)[[0, 1, 0]]], found, rows)
    assert predicted == [[], ["N"]]
    kind.write([["D", "N"], ["N"]], rows, tmp_path / "test-en.tsv")
    assert (tmp_path / "test-en.tsv").read_text() == "D\nN\n\nN\n"


def qa_rows(context: str, answer: str, question: str = "what sees the cat ?") -> pa.Table:
    answers = {"text": [answer], "answer_start": [context.index(answer)]}
    return table("qa", [{"id": "q1", "context": context, "question": question, "answers": answers}])


def test_qa_answers_are_cut_by_characters_from_the_right_window(tokens, tmp_path):
    context = "the red cat eats . the blue house . Anna sees   the big cat in Paris . the dog eats ."
    rows = qa_rows(context, "the big cat in Paris")
    # Windows so close that a token with most around it has five tokens from itself on.
    options = QA | {"max_answer_length": 5, "doc_stride": 2}
    kind = qa.Kind(options)
    found = encoded("qa", rows, True, options, tokens)
    assert len(found) > 2 and max(found.lengths) <= QA["max_length"]
    gold = [(s, e) for s, e in zip(*spans(found), strict=True) if s]
    assert gold, "no window holds the answer"
    logits = []
    for start, end, length in zip(*spans(found), found.lengths, strict=True):
        values = np.zeros((length, 2), np.float32)
        if start:
            values[start, 0] = values[end, 1] = 5
        logits.append(values)
    assert kind.decode(logits, found, rows) == ["the big cat in Paris"]
    kind.write(["the big cat in Paris"], rows, tmp_path / "test-en.json")
    assert json.loads((tmp_path / "test-en.json").read_text()) == {"q1": "the big cat in Paris"}


def test_qa_windows_cover_the_context_at_the_configured_distance(tokens):
    context = " ".join(["cat", "dog", "house", "red", "blue"] * 8)
    options = QA
    found = encoded("qa", qa_rows(context, "house"), False, options, tokens)
    firsts = [next(a for a, b in offsets if b > a) for offsets in offsets_of(found)]
    words = [context[:first].count(" ") for first in firsts]
    assert {b - a for a, b in itertools.pairwise(words)} == {QA["doc_stride"]}
    covered = {a for offsets in offsets_of(found) for a, b in offsets if b > a}
    assert len(covered) == 40


def test_qa_begins_an_answer_in_the_window_that_has_most_around_it(tokens):
    context = " ".join(["cat", "dog", "house", "red", "blue"] * 8)
    rows = qa_rows(context, "house")
    found = encoded("qa", pa.concat_tables([rows, qa_rows("Anna .", "Anna"), rows]), False, QA, tokens)
    offsets = [np.array(window) for window in offsets_of(found)]
    central = list(qa.centres(found.rows.tolist(), offsets))
    for row in (0, 1, 2):
        windows = [i for i, own in enumerate(found.rows) if own == row]
        inside = {i: [place for place, (a, b) in enumerate(offsets_of(found)[i]) if b > a] for i in windows}
        where: dict[tuple[int, int], list[tuple[float, int, int]]] = {}
        for i in windows:
            for place in inside[i]:
                around = min(place - inside[i][0], inside[i][-1] - place) + 0.01 * len(inside[i])
                where.setdefault(offsets_of(found)[i][place], []).append((-around, i, place))
        wanted = {(i, place) for _, i, place in map(min, where.values())}
        assert {(i, int(place)) for i in windows for place in np.flatnonzero(central[i])} == wanted
        assert len(wanted) == (40 if row != 1 else 2)
    # The best span of all begins at the edge of a window, and is not taken.
    logits = [np.zeros((length, 2), np.float32) for length in found.lengths]
    edge = next(place for place, (a, b) in enumerate(offsets_of(found)[1]) if b > a)
    logits[1][edge] = 9
    middle = int(np.flatnonzero(central[1])[0])
    logits[1][middle] = 3
    begin, end = offsets_of(found)[1][middle]
    answers = qa.Kind(QA).decode(logits, found, pa.concat_tables([rows, qa_rows("Anna .", "Anna"), rows]))
    assert middle > edge and answers[0] == context[begin:end]


def test_qa_tokens_of_one_character_belong_to_one_window():
    """As the three of the sign for a company in XLM-R's vocabulary."""
    first = np.array([(-1, -1), (0, 1), (1, 2), (2, 3), (2, 3), (3, 4)])
    second = np.array([(-1, -1), (2, 3), (2, 3), (3, 4), (4, 5), (5, 6)])
    one, other = qa.centres([4, 4], [first, second])
    assert one.tolist() == [False, True, True, True, True, False]  # 0, 1, 2, 1, 0 tokens on the narrower side
    assert other.tolist() == [False, False, False, True, True, True]  # 0, 1, 2, 1, 0


def test_qa_never_answers_outside_the_context_nor_longer_than_allowed(tokens):
    options = QA
    kind = qa.Kind(options)
    rows = qa_rows("Anna sees the big red cat .", "Anna")
    found = encoded("qa", rows, True, options, tokens)
    values = np.zeros((found.lengths[0], 2), np.float32)
    values[0] = 99  # `<s>`
    values[1] = 50  # the question
    values[found.lengths[0] - 2, 1] = 9  # a last token too far from the first one
    values[8, 0] = 8
    (answer,) = kind.decode([values], found, rows)
    assert answer and answer in "Anna sees the big red cat ." and len(answer.split()) <= 4


def test_qa_refuses_windows_that_would_skip_text(tokens):
    with pytest.raises(InputError, match="doc_stride is 99"):
        encoded("qa", qa_rows("Anna .", "Anna"), True, QA | {"doc_stride": 99}, tokens)


def test_choice_encodes_a_sequence_a_choice_and_takes_the_best(tokens, tmp_path):
    options = {"labels": ["0", "1"], "max_length": 10}
    kind = choice.Kind(options)
    rows = table("choice", [{"prompt": "the red cat sees the big", "choices": ["dog .", "house"], "label": 1}])
    found = encoded("choice", rows, True, options, tokens)
    first, second = found.columns["input_ids"].lists(np.array([0]))
    assert decoded(tokens, first) == "<s> cat sees the big </s> </s> dog . </s>"
    assert decoded(tokens, second).endswith("the big </s> </s> house </s>") and max(len(first), len(second)) <= 10
    assert kind.decode([np.array([0.5, 0.1])], found, rows) == [0]
    assert kind.evaluate([0], rows) == {"accuracy": 0.0}
    with pytest.raises(InputError, match="row 0 has 3 choices; the task's record has 2 labels"):
        three = table("choice", [{"prompt": "a", "choices": ["a", "a", "a"], "label": 0}])
        encoded("choice", three, True, options, tokens)


def test_no_answer_is_given_where_the_start_token_scores_higher_in_every_window(tokens):
    rows = qa_rows("Anna sees the big red cat .", "Anna")
    for unanswerable, start, answer in ((True, 9, ""), (True, 7, "Anna"), (False, 9, "Anna")):
        options = QA | {"unanswerable": unanswerable}
        kind = qa.Kind(options)
        found = encoded("qa", rows, True, options, tokens)
        place = spans(found)[0][0]
        values = np.zeros((found.lengths[0], 2), np.float32)
        values[place], values[0] = 4, start / 2
        assert kind.decode([values], found, rows) == [answer]
    nothing = [{"id": "q", "context": "Anna .", "question": "who ?", "answers": {"text": [], "answer_start": []}}]
    assert kind.evaluate([""], table("qa", nothing)) == {"exact": 100.0}


def test_masked_text_hides_words_but_never_special_tokens(tokens):
    options = {"max_length": 12, "mask": 0.5}
    orders = itertools.islice(itertools.permutations(["Anna", "sees", "the", "big", "red", "cat", "in", "Paris"]), 50)
    texts = [" ".join(words) for words in orders]
    found = encoded("text", pa.table({"text": texts}), True, options, tokens)
    masks = 0
    columns = (found.lists(name) for name in ("input_ids", "labels", "picked"))
    for ids, labels, picked, whole in zip(*columns, tokens.ids(texts), strict=True):
        assert [label for label in labels if label != IGNORED] == [w for w, p in zip(whole, picked, strict=True) if p]
        assert sum(picked) == 4 and picked[0] == picked[-1] == 0
        assert all(i == w for i, w, p in zip(ids, whole, picked, strict=True) if not p)
        masks += ids.tolist().count(tokens.special["mask_token"])
    assert 130 < masks < 190  # 80 % of 200
