"""Multiple choice: exactly one choice is correct, and the choices alone do not reveal it."""

from collections import Counter
from typing import Any, cast

import pytest

from miniworld.generated import LANGUAGES, TASKS_BY_KIND, content_words, follows, is_answer, read_rows
from stiltwalk.miniworld.generate import lexicon
from stiltwalk.miniworld.generate.choices import Phrase, draw_answers
from stiltwalk.miniworld.generate.facts import Fact, Noun, seeded_generator
from stiltwalk.miniworld.generate.language import Question


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("task", TASKS_BY_KIND["choice"])
def test_choices_are_distinct(task: str, language: str) -> None:
    for row in read_rows(task, language=language, size=100).to_pylist():
        assert len(set(row["choices"])) == len(row["choices"]) == (5 if task == "commonsenseqa" else 4)


def test_only_the_correct_sentence_follows_from_the_prompt() -> None:
    for row in read_rows("hellaswag", size=400).to_pylist():
        if "orange" in row["prompt"]:  # `follows` takes "an orange watch" for an orange
            continue
        following = [number for number, choice in enumerate(row["choices"]) if follows(row["prompt"], choice)]
        assert following == [row["label"]], row


def test_sentences_alone_do_not_reveal_which_one_follows() -> None:
    rows = read_rows("hellaswag", "train", size=4000).to_pylist()
    correct, wrong = (
        [choice for row in rows for i, choice in enumerate(row["choices"]) if (i == row["label"]) == is_correct]
        for is_correct in (True, False)
    )
    for mark in (" not ", "animal", "person", " at ", " in "):
        shares = [sum(mark in choice for choice in choices) / len(choices) for choices in (correct, wrong)]
        assert abs(shares[0] - shares[1]) < 0.03, mark
    lengths = [sum(map(len, choices)) / len(choices) for choices in (correct, wrong)]
    assert abs(lengths[0] - lengths[1]) < 1


def test_only_the_first_phrase_answers_and_most_others_are_in_the_passage() -> None:
    def core(part: Any) -> Any:
        return part.head if isinstance(part, Noun) else (part[0], part[1].head) if isinstance(part, tuple) else part

    rng, from_passage = seeded_generator("answers"), 0
    for _ in range(200):
        row = draw_answers(rng)
        facts = cast(list[Fact], row.content)
        question, asked = cast(Question, row.prompt[-1][0])
        (answer,) = [getattr(fact, asked) for fact in facts if is_answer(fact, question, asked)]
        phrases = cast(list[Phrase], row.answers)
        assert [core(getattr(fact, part)) == core(answer) for fact, part in phrases] == [True, False, False, False]
        from_passage += sum(fact in facts for fact, _ in phrases[1:])
    assert from_passage > 200


def test_only_the_correct_phrase_fits_the_question_word() -> None:
    seen: Counter[str] = Counter()
    for row in read_rows("commonsenseqa", size=400).to_pylist():
        question_words = [question_word_for(choice) for choice in row["choices"]]
        assert sorted(question_words) == ["how", "what", "when", "where", "who"], row
        assert question_words[row["label"]] == row["prompt"].split()[0].lower(), row
        assert not {"today", "tomorrow"} & set(row["choices"])  # they would answer "when"
        seen[question_words[row["label"]]] += 1
    assert len(seen) == 4 and min(seen.values()) > 60


def question_word_for(phrase: str) -> str:
    """Return the word that asks for an English phrase."""
    persons = {word.split(".")[0].lower() for word in (*lexicon.NAMES["PER"], *lexicon.HYPONYMS["person.NOUN"])}
    nouns = {word.split(".")[0] for word in lexicon.HYPERNYM} - persons
    words = content_words(phrase)
    if words[0] == "at":
        return "when"
    if words[0] in ("in", "near", "behind"):
        return "where"
    return "who" if words[-1] in persons else "what" if words[-1] in nouns else "how"
