"""Each kind of task: what goes into the model, and how its answers come back out."""

import itertools
import json

import numpy as np
import pyarrow as pa
import pytest

from common.errors import InputError
from common.tables import schema
from kinds import choice, pair, qa, tagging, text
from training.encoded import IGNORED

QA = {"max_length": 20, "doc_stride": 4, "max_query_length": 6, "max_answer_length": 4, "n_best": 5}


def table(kind: str, rows: list[dict], gold: bool = True) -> pa.Table:
    return pa.Table.from_pylist(rows, schema(kind, gold))


def test_pair_puts_both_texts_in_one_row_and_cuts_the_longer_one(tokenizer):
    kind = pair.Kind({"labels": ["yes", "no"], "max_length": 10}, tokenizer)
    rows = table("pair", [{"text_a": "the red cat sees the big dog .", "text_b": "a dog .", "label": "no"}])
    encoded = kind.encode(rows, gold=True)
    assert tokenizer.decode(encoded.features["input_ids"][0]) == "<s> the red cat </s> </s> a dog . </s>"
    assert encoded.features["labels"] == [1]
    assert kind.decode([np.array([0.1, 2.0])], encoded, rows) == ["no"]


def test_tagging_splits_a_long_sentence_and_joins_it_again(tokenizer):
    kind = tagging.Kind({"labels": ["D", "A", "N"], "max_length": 5}, tokenizer)
    words, tags = ["the", "red", "cat", "\u200b", "the", "dog", "."], ["D", "A", "N", "A", "D", "N", "A"]
    rows = table("tagging", [{"tokens": ["dog"], "tags": ["N"]}, {"tokens": words, "tags": tags}])
    encoded = kind.encode(rows, gold=True)
    assert max(encoded.lengths) <= 5 and encoded.rows == [0, 1, 1, 1]
    assert int(encoded.weights.sum()) == 8  # every word is learnt from, the one without sub-tokens too
    perfect = []
    for labels in encoded.features["labels"]:
        values = np.zeros((len(labels), 3), np.float32)
        for position, label in enumerate(labels):
            if label != IGNORED:
                values[position, label] = 1
        perfect.append(values)
    assert kind.decode(perfect, encoded, rows) == [["N"], tags]
    assert kind.evaluate([["N"], tags], rows) == {"f1": 100.0}


def test_tagging_of_an_empty_sentence_keeps_its_place(tokenizer, tmp_path):
    kind = tagging.Kind({"labels": ["D", "N"], "max_length": 8}, tokenizer)
    rows = table("tagging", [{"tokens": []}, {"tokens": ["cat"]}], gold=False)
    encoded = kind.encode(rows, gold=False)
    assert "labels" not in encoded.features
    predicted = kind.decode([np.eye(2)[[0, 0]], np.eye(2)[[0, 1, 0]]], encoded, rows)
    assert predicted == [[], ["N"]]
    kind.write([["D", "N"], ["N"]], rows, tmp_path / "test-en.tsv")
    assert (tmp_path / "test-en.tsv").read_text() == "D\nN\n\nN\n"


def qa_rows(context: str, answer: str, question: str = "what sees the cat ?") -> pa.Table:
    answers = {"text": [answer], "answer_start": [context.index(answer)]}
    return table("qa", [{"id": "q1", "context": context, "question": question, "answers": answers}])


def test_qa_answers_are_cut_by_characters_from_the_right_window(tokenizer, tmp_path):
    context = "the red cat eats . the blue house . Anna sees   the big cat in Paris . the dog eats ."
    rows = qa_rows(context, "the big cat in Paris")
    kind = qa.Kind(QA | {"max_answer_length": 5}, tokenizer)
    encoded = kind.encode(rows, gold=True)
    assert len(encoded) > 2 and max(encoded.lengths) <= QA["max_length"]
    gold = [(s, e) for s, e in zip(encoded.features["start"], encoded.features["end"], strict=True) if s]
    assert gold, "no window holds the answer"
    logits = []
    for start, end, length in zip(encoded.features["start"], encoded.features["end"], encoded.lengths, strict=True):
        values = np.zeros((length, 2), np.float32)
        if start:
            values[start, 0] = values[end, 1] = 5
        logits.append(values)
    assert kind.decode(logits, encoded, rows) == ["the big cat in Paris"]
    kind.write(["the big cat in Paris"], rows, tmp_path / "test-en.json")
    assert json.loads((tmp_path / "test-en.json").read_text()) == {"q1": "the big cat in Paris"}


def test_qa_windows_cover_the_context_at_the_configured_distance(tokenizer):
    context = " ".join(["cat", "dog", "house", "red", "blue"] * 8)
    kind = qa.Kind(QA, tokenizer)
    encoded = kind.encode(qa_rows(context, "house"), gold=False)
    firsts = [next(a for a, b in offsets if b > a) for offsets in encoded.extra["offsets"]]
    words = [context[:first].count(" ") for first in firsts]
    assert {b - a for a, b in itertools.pairwise(words)} == {QA["doc_stride"]}
    covered = {a for offsets in encoded.extra["offsets"] for a, b in offsets if b > a}
    assert len(covered) == 40


def test_qa_never_answers_outside_the_context_nor_longer_than_allowed(tokenizer):
    kind = qa.Kind(QA, tokenizer)
    rows = qa_rows("Anna sees the big red cat .", "Anna")
    encoded = kind.encode(rows, gold=True)
    values = np.zeros((encoded.lengths[0], 2), np.float32)
    values[0] = 99  # `<s>`
    values[1] = 50  # the question
    values[encoded.lengths[0] - 2, 1] = 9  # a last token too far from the first one
    values[8, 0] = 8
    (answer,) = kind.decode([values], encoded, rows)
    assert answer and answer in "Anna sees the big red cat ." and len(answer.split()) <= 4


def test_qa_refuses_windows_that_would_skip_text(tokenizer):
    with pytest.raises(InputError, match="doc_stride is 99"):
        qa.Kind(QA | {"doc_stride": 99}, tokenizer)


def test_choice_encodes_a_sequence_a_choice_and_takes_the_best(tokenizer, tmp_path):
    kind = choice.Kind({"labels": ["0", "1"], "max_length": 10}, tokenizer)
    rows = table("choice", [{"prompt": "the red cat sees the big", "choices": ["dog .", "house"], "label": 1}])
    encoded = kind.encode(rows, gold=True)
    first, second = encoded.features["input_ids"][0]
    assert tokenizer.decode(first) == "<s> the red cat sees </s> </s> dog . </s>"
    assert tokenizer.decode(second).endswith("</s> house </s>") and max(len(first), len(second)) <= 10
    assert kind.decode([np.array([0.5, 0.1])], encoded, rows) == [0]
    assert kind.evaluate([0], rows) == {"accuracy": 0.0}
    with pytest.raises(InputError, match="row 0 has 3 choices; the task's record has 2 labels"):
        kind.encode(table("choice", [{"prompt": "a", "choices": ["a", "a", "a"], "label": 0}]), gold=True)


def test_no_answer_is_given_where_the_start_token_scores_higher_in_every_window(tokenizer):
    rows = qa_rows("Anna sees the big red cat .", "Anna")
    for unanswerable, start, answer in ((True, 9, ""), (True, 7, "Anna"), (False, 9, "Anna")):
        kind = qa.Kind(QA | {"unanswerable": unanswerable}, tokenizer)
        encoded = kind.encode(rows, gold=True)
        place = encoded.features["start"][0]
        values = np.zeros((encoded.lengths[0], 2), np.float32)
        values[place], values[0] = 4, start / 2
        assert kind.decode([values], encoded, rows) == [answer]
    nothing = [{"id": "q", "context": "Anna .", "question": "who ?", "answers": {"text": [], "answer_start": []}}]
    assert kind.evaluate([""], table("qa", nothing)) == {"exact": 100.0}


def test_masked_text_hides_words_but_never_special_tokens(tokenizer):
    kind = text.Kind({"max_length": 12, "mask": 0.5}, tokenizer)
    rows = pa.table({"text": ["Anna sees the big red cat in Paris"] * 50})
    encoded = kind.encode(rows, gold=True)
    whole = tokenizer("Anna sees the big red cat in Paris")["input_ids"]
    masks = 0
    for ids, labels, picked in zip(*(encoded.features[n] for n in ("input_ids", "labels", "picked")), strict=True):
        assert [label for label in labels if label != IGNORED] == [w for w, p in zip(whole, picked, strict=True) if p]
        assert sum(picked) == 4 and picked[0] == picked[-1] == 0
        assert all(i == w for i, w, p in zip(ids, whole, picked, strict=True) if not p)
        masks += ids.count(tokenizer.mask_token_id)
    assert 130 < masks < 190  # 80 % of 200
