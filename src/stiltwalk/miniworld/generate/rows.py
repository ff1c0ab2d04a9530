"""Generators of table rows, one for each form of task. Each draws facts and puts them into a language."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

import numpy as np

from stiltwalk.miniworld.generate import lexicon
from stiltwalk.miniworld.generate.choices import MultipleChoice, Phrase
from stiltwalk.miniworld.generate.corpus import draw_document, language_shares
from stiltwalk.miniworld.generate.facts import Fact, assign_split, draw_fact, seeded_generator
from stiltwalk.miniworld.generate.inference import LABELS, draw_pair, draw_similar_facts
from stiltwalk.miniworld.generate.language import (
    Language,
    Plan,
    Question,
    Token,
    join_tokens,
    read_language,
    render,
    render_clause,
    render_text,
)
from stiltwalk.miniworld.generate.paraphrase import draw_questions, draw_statements, meaning
from stiltwalk.miniworld.generate.reading import Passage, draw_passage, draw_unanswerable_passage
from stiltwalk.miniworld.generate.tagging import draw_sentence

T = TypeVar("T")
Row = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """What to generate: `size` rows of a split of a task."""

    world_seed: int
    seed: int
    task: str
    split: str
    size: int

    def generator(self, *key: str) -> np.random.Generator:
        """Create the random generator of the sample, or of the part of it with the given key."""
        return seeded_generator(self.world_seed, self.seed, self.task, self.split, *key)


def entailment_rows(sample: Sample, language: Language) -> Iterator[Row]:
    """Generate premises with hypotheses, labelled with LABELS."""
    return _entailment_rows(sample.generator(), sample.split, sample.size, language)


def translated_entailment_rows(sample: Sample, languages: list[Language]) -> Iterator[Row]:
    """Generate premises with hypotheses in all languages but English (the first), in equal numbers."""
    others = languages[1:]
    for number, language in enumerate(others):
        size = len(range(number, sample.size, len(others)))
        yield from _entailment_rows(sample.generator(language.code), sample.split, size, language)


def statement_rows(sample: Sample, language: Language) -> Iterator[Row]:
    """Generate pairs of statements, labelled "1" if they mean the same and "0" if not."""
    rng = sample.generator()
    for label in _balanced_labels(rng, ("0", "1"), sample.size):
        pair = _draw_in_split(sample.split, _meaning_of_first, draw_statements, rng, label == "1")
        yield _pair_row([[fact, lexicon.FULL_STOP] for fact in pair], label, language)


def question_rows(sample: Sample, language: Language) -> Iterator[Row]:
    """Generate pairs of questions, labelled "duplicate" if they mean the same and "not_duplicate" if not."""
    rng = sample.generator()
    for label in _balanced_labels(rng, ("not_duplicate", "duplicate"), sample.size):
        pair = _draw_in_split(sample.split, _meaning_of_first, draw_questions, rng, label == "duplicate")
        yield _pair_row([[question, lexicon.QUESTION_MARK] for question in pair], label, language)


def passage_rows(sample: Sample, language: Language, facts: int = 3, unanswerable: bool = False) -> Iterator[Row]:
    """Generate questions about passages.

    facts: the number of facts in a passage.
    unanswerable: whether a third of the questions has no answer in its passage.
    """
    rng = sample.generator()
    draws = [draw_passage, draw_passage, draw_unanswerable_passage] if unanswerable else [draw_passage]
    order = rng.permutation(sample.size) if unanswerable else range(sample.size)
    for number, i in enumerate(order):
        passage = _draw_in_split(sample.split, attrgetter("facts"), draws[i % len(draws)], rng, facts)
        context, answers = _render_passage(passage, language)
        yield {
            "id": f"{sample.task}-{sample.split}-{number:05d}",
            "context": context,
            "question": render_text([(passage.question, passage.asked), lexicon.QUESTION_MARK], language),
            "answers": {
                "text": [context[start:end] for start, end in answers],
                "answer_start": [start for start, _ in answers],
            },
        }


def choice_rows(
    sample: Sample, language: Language, draw: Callable[[np.random.Generator], MultipleChoice], choices: int
) -> Iterator[Row]:
    """Generate multiple-choice rows. The correct answer is equally often at each of the places.

    choices: the number of answers that `draw` returns.
    """
    rng = sample.generator()
    for label in _balanced_labels(rng, range(choices), sample.size):
        row = _draw_in_split(sample.split, attrgetter("content"), draw, rng)
        correct, *wrong = row.answers
        yield {
            "prompt": " ".join(render_text(plan, language) for plan in row.prompt),
            "choices": [_render_answer(answer, language) for answer in (*wrong[:label], correct, *wrong[label:])],
            "label": label,
        }


def tagged_rows(
    sample: Sample,
    language: Language,
    draw: Callable[[np.random.Generator], Plan] = draw_sentence,
    tag: Callable[[Plan, Language], list[Token]] = render,
) -> Iterator[Row]:
    """Generate tagged sentences.

    draw: draws a sentence.
    tag: puts it into a language, with the tags of the task; the default tags are parts of speech.
    """
    rng = sample.generator()
    for _ in range(sample.size):
        tokens = tag(_draw_in_split(sample.split, _whole, draw, rng), language)
        yield {"tokens": [form for form, _ in tokens], "tags": [tag for _, tag in tokens]}


def translation_rows(sample: Sample, language: Language) -> Iterator[Row]:
    """Generate distinct sentences with their English translations; every language has sentences of its own."""
    rng = sample.generator(language.code)
    english = read_language({"seed": sample.world_seed, "languages": {}}, "en")
    seen: set[str] = set()
    while len(seen) < sample.size:
        fact = draw_fact(rng)
        for similar in (fact, *draw_similar_facts(fact, rng)):
            plan: Plan = [similar, lexicon.FULL_STOP]
            target = render_text(plan, english)
            if target not in seen and len(seen) < sample.size:
                seen.add(target)
                yield {"source": render_text(plan, language), "target": target}


def text_rows(sample: Sample, languages: list[Language]) -> Iterator[Row]:
    """Generate documents, each in one language, in the proportions of the encoder's pretraining text.

    A sentence that a document repeats word by word is written once.
    """
    rng = sample.generator()
    shares = language_shares(languages)
    for _ in range(sample.size):
        document = _draw_in_split(sample.split, _whole, draw_document, rng)
        language = languages[int(rng.choice(len(languages), p=shares))]
        sentences = [render_text(plan, language) for text in document for plan in text]
        yield {"text": " ".join(dict.fromkeys(sentences))}


def word_rows(sample: Sample, languages: list[Language]) -> Iterator[Row]:
    """Generate distinct pairs of a foreign word and its English translation, without identical pairs.

    There are fewer than `sample.size` rows if the languages do not have that many pairs.
    """
    english, *others = languages
    concepts = [concept for concept in english.forms if assign_split(concept) == sample.split]
    pairs = [(language.forms[concept], english.forms[concept]) for concept in concepts for language in others]
    distinct = [pair for pair in dict.fromkeys(pairs) if pair[0] != pair[1]]
    for i in np.sort(sample.generator().permutation(len(distinct))[: sample.size]):
        source, target = distinct[i]
        yield {"source": source, "target": target}


def _draw_in_split(split: str, content: Callable[[T], Any], draw: Callable[..., T], *arguments: Any) -> T:
    """Call `draw(*arguments)` until the content of what it returns belongs to the split."""
    while True:
        drawn = draw(*arguments)
        if assign_split(content(drawn)) == split:
            return drawn


def _whole(drawn: T) -> T:
    return drawn


def _meaning_of_first(pair: tuple[Fact, Fact] | tuple[Question, Question]) -> tuple[Token, ...]:
    return meaning([pair[0]])


def _balanced_labels(rng: np.random.Generator, labels: Sequence[T], size: int) -> Iterator[T]:
    """Yield labels in a random order, each equally often."""
    for i in rng.permutation([i % len(labels) for i in range(size)]):
        yield labels[int(i)]


def _entailment_rows(rng: np.random.Generator, split: str, size: int, language: Language) -> Iterator[Row]:
    for label in _balanced_labels(rng, LABELS, size):
        pair = _draw_in_split(split, itemgetter(0), draw_pair, rng, label)
        yield _pair_row([[fact, lexicon.FULL_STOP] for fact in pair], label, language)


def _pair_row(plans: list[Plan], label: str, language: Language) -> Row:
    first, second = (render_text(plan, language) for plan in plans)
    return {"text_a": first, "text_b": second, "label": label}


def _render_passage(passage: Passage, language: Language) -> tuple[str, list[tuple[int, int]]]:
    """Put a passage into a language: returns its text, and the span of the answer in characters if there is one."""
    tokens: list[Token] = []
    answer = range(0)  # the numbers of its tokens
    for i, fact in enumerate(passage.facts):
        if i == passage.answer:
            clause = render_clause(fact, language)
            before = takewhile(lambda part: part != passage.asked, clause)
            start = len(tokens) + sum(len(clause[part]) for part in before)
            answer = range(start, start + len(clause[passage.asked]))
        tokens += render([fact, lexicon.FULL_STOP], language)
    context, spans = join_tokens(tokens)
    return context, [(spans[answer[0]][0], spans[answer[-1]][1])] if answer else []


def _render_answer(answer: Plan | Phrase, language: Language) -> str:
    if isinstance(answer, list):
        return render_text(answer, language)
    fact, part = answer
    return join_tokens(render_clause(fact, language)[part])[0]
