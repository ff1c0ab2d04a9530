"""Questions about passages: answers are at their offsets, and unanswerable questions are hard to recognise."""

import pytest

from miniworld.generated import LANGUAGES, TASKS_BY_KIND, content_words, is_answer, read_rows
from stiltwalk.miniworld.generate import lexicon
from stiltwalk.miniworld.generate.facts import seeded_generator
from stiltwalk.miniworld.generate.reading import draw_unanswerable_passage


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("task", TASKS_BY_KIND["qa"])
def test_answers_are_whole_words_at_their_offsets(task: str, language: str) -> None:
    rows = read_rows(task, language=language).to_pylist()
    answered = [row for row in rows if row["answers"]["text"]]
    assert len(answered) == (20 if task == "squad2" else 30)
    assert all(row["answers"]["answer_start"] == [] for row in rows if row not in answered)
    assert {row["context"].count(".") for row in rows} == {{"mlqa": 4, "tydiqa": 5}.get(task, 3)}
    for row in answered:
        (text,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
        context, end = row["context"], start + len(text)
        assert text and context[start:end] == text
        assert start == 0 or context[start - 1] == " "
        assert context[end] in " ."


def test_unanswerable_questions_have_no_answer_though_their_words_are_in_the_passage() -> None:
    rng = seeded_generator("unanswered")
    for _ in range(300):
        passage = draw_unanswerable_passage(rng)
        assert len(passage.facts) == 3 and passage.answer is None
        assert all(bool(fact.object) == (fact.verb in lexicon.WORDS["transitive"]) for fact in passage.facts)
        assert not any(is_answer(fact, passage.question, passage.asked) for fact in passage.facts)
    all_words_occur = [
        set(content_words(row["question"])[1:]) <= set(content_words(row["context"]))
        for row in read_rows("squad2", size=300).to_pylist()
        if not row["answers"]["text"]
    ]
    assert len(all_words_occur) == 100 and sum(all_words_occur) > 70
