"""Extractive question answering: what goes into the model, and how its answers come back out."""

import itertools
import json

import numpy as np
import pyarrow as pa
import pytest

from conftest import make_table, random_sentences, tokenized
from stiltwalk.scoring.answers import squad_scores
from stiltwalk.tasks.base_data.kind_rows import load_rows
from stiltwalk.tasks.base_data.token_files import tokenize_folder
from stiltwalk.tasks.qa.data.rows import trim
from stiltwalk.tasks.qa.head.task import Task, widest_context
from stiltwalk.training.batching import TokenizedRows
from stiltwalk.utils.errors import InputError

OPTIONS = {"max_length": 20, "doc_stride": 4, "max_query_length": 6, "max_answer_length": 4, "n_best": 5}


def answer_tokens(rows: TokenizedRows) -> tuple[list[int], list[int]]:
    """First and last token of the answer in every window."""
    return rows.columns["start"].values.tolist(), rows.columns["end"].values.tolist()


def offsets_of(rows: TokenizedRows) -> list[list[tuple[int, int]]]:
    """Begin and end character of every token of every window."""
    sides = zip(rows.lists("begins"), rows.lists("ends"), strict=True)
    return [list(zip(begins.tolist(), ends.tolist(), strict=True)) for begins, ends in sides]


def question(context: str, answer: str, text: str = "what sees the cat ?") -> pa.Table:
    answers = {"text": [answer], "answer_start": [context.index(answer)]}
    return make_table("qa", [{"id": "q1", "context": context, "question": text, "answers": answers}])


def test_windows_are_those_of_transformers(subwords, tokenizer):
    options = {"max_length": 18, "doc_stride": 5, "max_query_length": 6}
    questions, contexts = random_sentences(40, 2, 6), random_sentences(40, 3, 40)
    table = make_table(
        "qa",
        [
            {"id": str(i), "context": context, "question": text, "answers": {"text": [], "answer_start": []}}
            for i, (text, context) in enumerate(zip(questions, contexts, strict=True))
        ],
    )
    rows = tokenized("qa", table, False, options, subwords)
    expected = []
    for row, (text, context) in enumerate(zip(questions, contexts, strict=True)):
        overlap = max(0, 18 - 4 - len(tokenizer.tokenize(text)) - 5)
        windows = tokenizer(
            text,
            context,
            truncation="only_second",
            max_length=18,
            stride=overlap,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        for i, ids in enumerate(windows["input_ids"]):
            pairs = zip(windows["offset_mapping"][i], windows.sequence_ids(i), strict=True)
            expected.append((row, ids, [offsets if part == 1 else (-1, -1) for offsets, part in pairs]))
    ids = [row.tolist() for row in rows.lists("input_ids")]
    assert list(zip(rows.table_rows.tolist(), ids, offsets_of(rows), strict=True)) == expected
    assert len(rows) > 60


def test_windows_cover_the_context_at_the_configured_distance(subwords):
    context = " ".join(["cat", "dog", "house", "red", "blue"] * 8)
    rows = tokenized("qa", question(context, "house"), False, OPTIONS, subwords)
    firsts = [next(a for a, b in offsets if b > a) for offsets in offsets_of(rows)]
    words = [context[:first].count(" ") for first in firsts]
    assert {b - a for a, b in itertools.pairwise(words)} == {OPTIONS["doc_stride"]}
    covered = {a for offsets in offsets_of(rows) for a, b in offsets if b > a}
    assert len(covered) == 40


def test_windows_that_would_skip_text_are_refused(subwords):
    message = r"params\.yaml: kinds\.qa\.doc_stride is 99; .* it must be from 1 to 10, or windows would skip text"
    with pytest.raises(InputError, match=message):
        tokenized("qa", question("Anna .", "Anna"), True, OPTIONS | {"doc_stride": 99}, subwords)


@pytest.mark.parametrize("around", [" ", "\n", "\u200b", "\u200e", "\u200f", "\x07", "\ufeff "])
def test_what_no_token_covers_around_an_answer_moves_no_target(subwords, tmp_path, around):
    """An answer that ends in a space took the next word too; one that begins with U+200B was no answer."""
    context = f"Anna sees{around}the cat{around}in Paris"
    plain = question(context, "the cat")
    start = context.index("the cat")
    for text, begin in ((f"{around}the cat", start - len(around)), (f"the cat{around}", start)):
        assert trim(text, begin) == ("the cat", start)
    expected = answer_tokens(tokenized("qa", plain, True, OPTIONS, subwords))
    assert any(expected[1])
    paragraph = {"id": "q1", "question": "what sees the cat ?"}
    paragraph["answers"] = [{"text": f"{around}the cat{around}", "answer_start": start - len(around)}]  # type: ignore[assignment]
    squad = {"data": [{"paragraphs": [{"context": context, "qas": [paragraph]}]}]}
    (tmp_path / "train.json").write_text(json.dumps(squad), encoding="utf-8")
    rows = make_table("qa", [*load_rows("qa").read_own(tmp_path / "train.json", {})])
    assert answer_tokens(tokenized("qa", rows, True, OPTIONS, subwords)) == expected


def test_questions_whose_answers_cannot_be_learnt_are_counted_or_refused(subwords, tmp_path, capsys):
    none = {
        "id": "q2",
        "context": "Anna sees the cat",
        "question": "who ?",
        "answers": {"text": [], "answer_start": []},
    }
    long = {"text": ["the cat in the big red house"], "answer_start": [10]}
    context = "Anna sees the cat in the big red house"
    rows = [{"id": "q1", "context": context, "question": "what sees Anna ?", "answers": long}, none]
    load_rows("qa").write(make_table("qa", rows), tmp_path / "train.parquet")
    options = OPTIONS | {"kind": "qa", "labels": [], "max_length": 14}
    with pytest.raises(
        InputError, match=r"train: 1 questions have no answer, the first of them 'q2'; set options\.unans"
    ):
        tokenize_folder(tmp_path, options, subwords)
    tokenize_folder(tmp_path, options | {"unanswerable": True}, subwords)
    assert f"{tmp_path.name} train: 1 answers that no window holds\n" in capsys.readouterr().out


def test_answers_are_cut_by_characters_from_the_right_window(subwords, tmp_path):
    context = "the red cat eats . the blue house . Anna sees   the big cat in Paris . the dog eats ."
    table = question(context, "the big cat in Paris")
    # The windows overlap so much that every token has five tokens from itself on in the window of its widest context.
    options = OPTIONS | {"max_answer_length": 5, "doc_stride": 2}
    task = Task(options)
    rows = tokenized("qa", table, True, options, subwords)
    assert len(rows) > 2 and max(rows.lengths) <= OPTIONS["max_length"]
    gold = [(start, end) for start, end in zip(*answer_tokens(rows), strict=True) if start]
    assert gold, "no window holds the answer"
    logits = []
    for start, end, length in zip(*answer_tokens(rows), rows.lengths, strict=True):
        values = np.zeros((length, 2), np.float32)
        if start:
            values[start, 0] = values[end, 1] = 5
        logits.append(values)
    assert task.decode(logits, rows, table) == ["the big cat in Paris"]
    task.write_predictions(["the big cat in Paris"], table, tmp_path / "test-en.json")
    assert json.loads((tmp_path / "test-en.json").read_text()) == {"q1": "the big cat in Paris"}


def test_an_answer_begins_only_where_its_first_token_has_its_widest_context(subwords):
    context = " ".join(["cat", "dog", "house", "red", "blue"] * 8)
    table = pa.concat_tables([question(context, "house"), question("Anna .", "Anna"), question(context, "house")])
    rows = tokenized("qa", table, False, OPTIONS, subwords)
    offsets = offsets_of(rows)
    widest = list(widest_context(rows.table_rows.tolist(), [np.array(window) for window in offsets]))
    for row in (0, 1, 2):
        windows = [i for i, of_row in enumerate(rows.table_rows) if of_row == row]
        inside = {i: [place for place, (a, b) in enumerate(offsets[i]) if b > a] for i in windows}
        candidates: dict[tuple[int, int], list[tuple[float, int, int]]] = {}
        for i in windows:
            for place in inside[i]:
                width = min(place - inside[i][0], inside[i][-1] - place) + 0.01 * len(inside[i])
                candidates.setdefault(offsets[i][place], []).append((-width, i, place))
        expected = {(i, place) for _, i, place in map(min, candidates.values())}
        assert {(i, int(place)) for i in windows for place in np.flatnonzero(widest[i])} == expected
        assert len(expected) == (40 if row != 1 else 2)
    # The best span of all begins at the edge of a window. It is not taken.
    logits = [np.zeros((length, 2), np.float32) for length in rows.lengths]
    edge = next(place for place, (a, b) in enumerate(offsets[1]) if b > a)
    logits[1][edge] = 9
    middle = int(np.flatnonzero(widest[1])[0])
    logits[1][middle] = 3
    begin, end = offsets[1][middle]
    answers = Task(OPTIONS).decode(logits, rows, table)
    assert middle > edge and answers[0] == context[begin:end]


def test_tokens_of_one_character_belong_to_one_window():
    """In XLM-R's vocabulary one character, such as the sign for a company, may be three tokens."""
    first = np.array([(-1, -1), (0, 1), (1, 2), (2, 3), (2, 3), (3, 4)])
    second = np.array([(-1, -1), (2, 3), (2, 3), (3, 4), (4, 5), (5, 6)])
    one, other = widest_context([4, 4], [first, second])
    assert one.tolist() == [False, True, True, True, True, False]  # 0, 1, 2, 1, 0 tokens on the narrower side
    assert other.tolist() == [False, False, False, True, True, True]  # 0, 1, 2, 1, 0


def test_answers_are_never_outside_the_context_nor_longer_than_allowed(subwords):
    table = question("Anna sees the big red cat .", "Anna")
    rows = tokenized("qa", table, True, OPTIONS, subwords)
    values = np.zeros((rows.lengths[0], 2), np.float32)
    values[0] = 99  # `<s>`
    values[1] = 50  # the question
    values[rows.lengths[0] - 2, 1] = 9  # a last token too far from the first one
    values[8, 0] = 8
    (answer,) = Task(OPTIONS).decode([values], rows, table)
    assert answer and answer in "Anna sees the big red cat ." and len(answer.split()) <= 4


@pytest.mark.parametrize(("unanswerable", "start", "answer"), [(True, 9, ""), (True, 7, "Anna"), (False, 9, "Anna")])
def test_the_answer_is_empty_if_the_start_token_scores_higher(subwords, unanswerable, start, answer):
    options = OPTIONS | {"unanswerable": unanswerable}
    table = question("Anna sees the big red cat .", "Anna")
    rows = tokenized("qa", table, True, options, subwords)
    first = answer_tokens(rows)[0][0]
    values = np.zeros((rows.lengths[0], 2), np.float32)
    values[first], values[0] = 4, start / 2
    assert Task(options).decode([values], rows, table) == [answer]


def test_the_empty_answer_is_right_if_the_question_has_none():
    unanswerable = {"id": "q", "context": "Anna .", "question": "who ?", "answers": {"text": [], "answer_start": []}}
    table = make_table("qa", [unanswerable])
    assert Task(OPTIONS).majority_baseline(table) == [""]
    assert Task(OPTIONS).evaluate([""], table) == {"exact": 100.0}


@pytest.mark.parametrize(
    ("prediction", "golds"),
    [("The U.S.", ["US"]), ("cat!", ["a cat"]), ("Cat", ["dog", "cat"]), ("cats", ["cat"]), ("“cat”", ["cat"])],
)
def test_validation_scores_answers_as_xtreme_does(prediction: str, golds: list[str]):
    row = {"id": "q", "context": "x", "question": "who ?", "answers": {"text": golds, "answer_start": [0] * len(golds)}}
    expected = squad_scores([golds], [prediction], "en")["exact_match"]
    assert Task(OPTIONS).evaluate([prediction], make_table("qa", [row])) == {"exact": expected}
