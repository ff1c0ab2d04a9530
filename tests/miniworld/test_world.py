"""The generated world: rows that are right in every language, splits that do not meet, bytes that do not change."""

import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest
import yaml

from stiltwalk.miniworld import POLYGLOT, TASKS, lexicon, pairs, read
from stiltwalk.miniworld.choices import draw_answers
from stiltwalk.miniworld.corpus import read_language, read_languages, vocabulary
from stiltwalk.miniworld.facts import Fact, Noun, generator
from stiltwalk.miniworld.reading import draw_unanswered
from stiltwalk.tasks.tables import SCHEMAS
from stiltwalk.utils.errors import InputError

OF_KIND = {
    "pair": "mnli anli_plus mnli_translated null qqp xnli pawsx",
    "tagging": "ccg udpos panx",
    "qa": "squad squad2 xquad mlqa tydiqa",
    "choice": "hellaswag cosmosqa commonsenseqa",
    "text": "mlm",
    "lexical": "tli",
    "retrieval": "tatoeba",
}
KINDS = {task: kind for kind, tasks in OF_KIND.items() for task in tasks.split()}
TAGS = set("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split())  # noqa: SIM905
MINI = yaml.safe_load((Path(__file__).parents[2] / "conf/scale/mini.yaml").read_text(encoding="utf-8"))
WORLD: dict[str, Any] = MINI["world"]
LANGUAGES = ["en", *WORLD["languages"]]


_drawn: dict[tuple[Any, ...], tuple[pa.Table, Any]] = {}  # with the world, so that its id stays its own


def rows(
    task: str, split: str = "test", language: str = "en", size: int = 30, world: dict[str, Any] = WORLD
) -> pa.Table:
    key = (task, split, language, size, id(world))
    if key not in _drawn:
        sample = {"train": size, "validation": size, "test": size, "seed": 0}
        _drawn[key] = read(task, {"kind": KINDS[task], "sample": sample, "world": world}, split, language)[0], world
    return _drawn[key][0]


def mined(
    language: str, split: str = "test", size: int = 30
) -> tuple[dict[str, dict[str, str]], list[tuple[str, str]]]:
    """The texts of each side by their ids, and the pairs."""
    record = {"kind": "mining", "sample": {"validation": size, "test": size, "seed": 0}, "world": WORLD}
    table, gold, origin = pairs("bucc2018", record, split, language)
    assert table.schema == SCHEMAS["mining"] and origin["language"] == language
    sides: dict[str, dict[str, str]] = {"source": {}, "target": {}}
    for row in table.to_pylist():
        assert row["id"] not in sides[row["side"]]
        sides[row["side"]][row["id"]] = row["text"]
    return sides, gold


def words(text: str) -> list[str]:
    """The words of a text in lower case without articles and punctuation marks."""
    return [word for word in text.lower().translate(str.maketrans("", "", ".,?!")).split() if word not in ("a", "the")]


def within(short: list[str], long: list[str]) -> bool:
    """Whether words stand among others in the same order; one can stand for a more special one, as animal for dog."""
    specials = {
        general.split(".")[0]: {special.split(".")[0] for special in nouns}
        for general, nouns in lexicon.HYPONYMS.items()
    }
    rest = iter(long)
    return all(any(word == other or other in specials.get(word, ()) for other in rest) for word in short)


def follows(premise: str, hypothesis: str) -> bool:
    """An oracle for English sentences: what follows leaves out words or is more general; of denials only the same."""
    # A place is one word here, lest "in a well" be taken for "well".
    one, other = (words(re.sub(r" (in|near|behind|at) (?:a |the )?", r" \1-", text)) for text in (premise, hypothesis))
    return one == other if "not" in one + other else within(other, one)


def digest(table: pa.Table) -> str:
    return hashlib.sha256(repr(table.to_pylist()).encode()).hexdigest()


@pytest.mark.parametrize("task", KINDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_task_has_its_schema_and_size_in_every_language(task: str, language: str) -> None:
    table = rows(task, language=language, size=9)
    assert table.schema == SCHEMAS[KINDS[task]]
    assert len(table) == 9
    assert all(value is not None for column in table.columns for value in column.to_pylist())


def test_all_tasks_are_covered() -> None:
    assert set(KINDS) == set(TASKS)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("task", OF_KIND["qa"].split())
def test_answers_stand_at_their_offsets_as_whole_words(task: str, language: str) -> None:
    found = rows(task, language=language).to_pylist()
    answered = [row for row in found if row["answers"]["text"]]
    assert len(answered) == (20 if task == "squad2" else 30)
    assert all(row["answers"]["answer_start"] == [] for row in found if row not in answered)
    assert {row["context"].count(".") for row in found} == {{"mlqa": 4, "tydiqa": 5}.get(task, 3)}
    for row in answered:
        (text,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
        context, end = row["context"], start + len(text)
        assert text and context[start:end] == text
        assert start == 0 or context[start - 1] == " "
        assert context[end] in " ."


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_parallel_tests_align(language: str) -> None:
    english, other = rows("xnli"), rows("xnli", language=language)
    assert english["label"] == other["label"]
    assert english["text_a"] != other["text_a"]
    for task in ("xquad", "mlqa", "tydiqa"):
        questions, asked = rows(task).to_pylist(), rows(task, language=language).to_pylist()
        assert [row["id"] for row in questions] == [row["id"] for row in asked]
        assert len({row["id"] for row in asked}) == len(asked)
        # The answer is in the sentence of the same number: all languages end a sentence with a full stop.
        for one, two in zip(questions, asked, strict=True):
            places = [row["context"][: row["answers"]["answer_start"][0]].count(".") for row in (one, two)]
            assert places[0] == places[1]
    tagged = [rows("udpos", language=code)["tags"].to_pylist() for code in ("en", language)]
    articles = WORLD["languages"][language]["article"] != "none"
    for one, two in zip(*tagged, strict=True):
        counts = [Counter(tag for tag in tags if articles or tag != "DET") for tags in (one, two)]
        assert counts[0] == counts[1]
    stated = [rows("pawsx", language=code) for code in ("en", language)]
    assert stated[0]["label"] == stated[1]["label"]
    assert stated[0]["text_a"] != stated[1]["text_a"]
    named = [[Counter(names(row)) for row in rows("panx", language=code).to_pylist()] for code in ("en", language)]
    assert named[0] == named[1]


@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_are_balanced(split: str) -> None:
    for task, number in (("mnli", 3), ("anli_plus", 3), ("pawsx", 2), ("qqp", 2)):
        assert list(Counter(rows(task, split)["label"].to_pylist()).values()) == [30 // number] * number
    for task, number in (("hellaswag", 4), ("cosmosqa", 4), ("commonsenseqa", 5)):
        labels = Counter(rows(task, split, size=60)["label"].to_pylist())
        assert labels == dict.fromkeys(range(number), 60 // number)


def test_no_premise_passage_or_sentence_is_in_two_splits() -> None:
    columns = {"pair": "text_a", "qa": "context", "tagging": "tokens", "choice": "prompt", "text": "text"}
    for task, column in ((task, columns[kind]) for task, kind in KINDS.items() if kind in columns):
        split_texts = [set(map(str, rows(task, split, size=80)[column].to_pylist())) for split in ("train", "test")]
        assert not split_texts[0] & split_texts[1], task
    sides = [mined("qaa", split, 100)[0] for split in ("validation", "test")]
    for side in ("source", "target"):
        assert not set(sides[0][side].values()) & set(sides[1][side].values())
    train = {tuple(row.values())[:2] for row in rows("mnli", "train", size=300).to_pylist()}
    test = {tuple(row.values())[:2] for row in rows("xnli", "test", size=300).to_pylist()}
    assert not train & test


def test_same_seed_same_rows_whatever_else_there_is() -> None:
    tasks = [task for task in KINDS if task not in POLYGLOT]  # those are in all languages there are
    before = {task: digest(rows(task, language="qab")) for task in tasks}
    more = {**WORLD, "languages": {"qzz": WORLD["languages"]["qac"], **WORLD["languages"]}}
    for task in reversed(tasks):
        assert digest(rows(task, language="qab", world=more)) == before[task], task
    assert digest(rows("mlm")) == digest(rows("mlm", language="qab")) != digest(rows("mlm", world=more))
    assert mined("qab") == mined("qab")
    assert digest(rows("xnli", world={**WORLD, "seed": 2})) != digest(rows("xnli"))
    assert digest(rows("xnli", "train")) != digest(rows("mnli", "train")) != digest(rows("anli_plus", "train"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_tags_are_of_the_seventeen_one_a_token(language: str) -> None:
    for row in rows("udpos", language=language).to_pylist():
        assert len(row["tokens"]) == len(row["tags"])
        assert set(row["tags"]) <= TAGS
        for token, tag in zip(row["tokens"], row["tags"], strict=True):
            assert (tag == "PUNCT") == (token in ".,?!")
            assert (tag == "NUM") == token.isdigit()


def test_a_lexicon_alone_does_not_tag() -> None:
    tags: dict[str, set[str]] = {}
    for row in rows("udpos", size=400).to_pylist():
        for token, tag in zip(row["tokens"], row["tags"], strict=True):
            tags.setdefault(token.lower(), set()).add(tag)
    assert sum(len(found) > 1 for found in tags.values()) >= 8
    assert {"NOUN", "VERB"} <= tags["cook"]


def names(row: dict[str, Any]) -> list[tuple[str, str]]:
    """The names of a tagged sentence with their types."""
    found: list[tuple[str, str]] = []
    for token, tag, before in zip(row["tokens"], row["tags"], ["O", *row["tags"]], strict=False):
        if tag.startswith("B-"):
            found.append((token, tag[2:]))
        elif tag.startswith("I-"):
            assert before[1:] == tag[1:], row
            found[-1] = (f"{found[-1][0]} {token}", found[-1][1])
        else:
            assert tag == "O"
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_are_whole_and_only_their_place_tells_what_they_are(language: str) -> None:
    known = {name.split(".")[0]: kind for kind, found in lexicon.NAMES.items() for name in found}
    tags: dict[str, set[str]] = {}
    found: list[tuple[str, str]] = []
    for row in rows("panx", language=language, size=300).to_pylist():
        assert len(row["tokens"]) == len(row["tags"])
        assert names(row)
        found += names(row)
        for token, tag in zip(row["tokens"], row["tags"], strict=True):
            tags.setdefault(token.lower(), set()).add(tag[2:])
    for name, kind in found:
        assert all(known.get(word, kind) == kind for word in name.split())
    assert {kind for _, kind in found} == set(lexicon.NAMES)
    unseen = [word not in known for name, _ in found for word in name.split()]
    assert 0.25 < sum(unseen) / len(unseen) < 0.35
    assert 0.25 < sum(" " in name for name, _ in found) / len(found) < 0.35
    assert all("PER" in tags[name] for name in ("will", "may", "mark", "rose"))
    if language == "en":
        assert tags["will"] == tags["may"] == {"PER", ""}


@pytest.mark.parametrize("language", LANGUAGES)
def test_categories_are_english_ones_in_every_language(language: str) -> None:
    english = {tag for row in rows("ccg", size=300).to_pylist() for tag in row["tags"]}
    assert len(english) == 16
    for row in rows("ccg", language=language).to_pylist():
        assert len(row["tokens"]) == len(row["tags"])
        assert set(row["tags"]) <= english


def test_a_verb_has_the_category_that_its_object_gives_it() -> None:
    verbs: dict[str, set[str]] = {}
    for row in rows("ccg", size=400).to_pylist():
        for token, tag, after in zip(row["tokens"], row["tags"], row["tags"][1:], strict=False):
            if tag.strip("(").startswith("S[b]"):
                verbs.setdefault(token, set()).add(tag)
                complement = "/NP" if after in ("NP", "NP/N") else "/S[em]" if after.startswith("S[em]") else r"\NP"
                assert tag.endswith(complement)
            if tag.startswith("(S[dcl]"):
                assert after.startswith(("S[b]", "(S[b]")) or after == r"(S\NP)\(S\NP)"
            if tag in ("NP/N", "N/N"):
                assert after in ("N", "N/N")
    assert sum(len(found) > 1 for found in verbs.values()) >= 10


def test_statements_mean_the_same_only_if_they_differ_in_detail() -> None:
    alike = 0
    for row in rows("pawsx", size=400).to_pylist():
        one, other = sorted((words(row["text_a"]), words(row["text_b"])), key=len)
        assert within(one, other) == (row["label"] == "1"), row
        alike += row["label"] == "0" and not Counter(one) - Counter(other)
    assert alike > 40  # whose words alone do not tell


def test_duplicate_questions_differ_in_detail_only() -> None:
    shorter: Counter[tuple[str, bool]] = Counter()
    for row in rows("qqp", size=400).to_pylist():
        one, other = words(row["text_a"]), words(row["text_b"])
        assert one != other
        assert (within(one, other) or within(other, one)) == (row["label"] == "duplicate"), row
        shorter[row["label"], len(one) < len(other)] += 1
    assert min(shorter.values()) > 60


def test_unanswered_questions_have_no_answer_though_their_words_are_there() -> None:
    rng = generator("unanswered")
    for _ in range(300):
        facts, question, asked, _ = draw_unanswered(rng)
        assert len(facts) == 3
        assert all(bool(fact.object) == (fact.verb in lexicon.WORDS["transitive"]) for fact in facts)
        assert not any(answers(fact, question, asked) for fact in facts)
    complete = [
        set(words(row["question"])[1:]) <= set(words(row["context"]))
        for row in rows("squad2", size=300).to_pylist()
        if not row["answers"]["text"]
    ]
    assert len(complete) == 100 and sum(complete) > 70


def answers(fact: Fact, question: Fact, asked: str) -> bool:
    given = {part: value for part, value in vars(question).items() if value and part not in (asked, "auxiliary")}
    return bool(getattr(fact, asked)) and given.items() <= vars(fact).items()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("task", OF_KIND["choice"].split())
def test_choices_are_distinct(task: str, language: str) -> None:
    for row in rows(task, language=language, size=100).to_pylist():
        assert len(set(row["choices"])) == len(row["choices"]) == (5 if task == "commonsenseqa" else 4)


def test_one_sentence_follows() -> None:
    for row in rows("hellaswag", size=400).to_pylist():
        if "orange" in row["prompt"]:  # "an orange watch" is an orange to the oracle
            continue
        found = [number for number, choice in enumerate(row["choices"]) if follows(row["prompt"], choice)]
        assert found == [row["label"]], row


def test_choices_alone_tell_nothing() -> None:
    table = rows("hellaswag", "train", size=4000).to_pylist()
    right, wrong = (
        [choice for row in table for i, choice in enumerate(row["choices"]) if (i == row["label"]) == is_right]
        for is_right in (True, False)
    )
    for mark in (" not ", "animal", "person", " at ", " in "):
        shares = [sum(mark in choice for choice in choices) / len(choices) for choices in (right, wrong)]
        assert abs(shares[0] - shares[1]) < 0.03, mark
    lengths = [sum(map(len, choices)) / len(choices) for choices in (right, wrong)]
    assert abs(lengths[0] - lengths[1]) < 1


def test_one_phrase_answers() -> None:
    def core(part: Any) -> Any:
        return part.head if isinstance(part, Noun) else (part[0], part[1].head) if isinstance(part, tuple) else part

    rng, inside = generator("answers"), 0
    for _ in range(200):
        facts, prompt, phrases = draw_answers(rng)
        question, asked = cast(tuple[Fact, str], prompt[-1][0])
        (answer,) = [getattr(fact, asked) for fact in facts if answers(fact, question, asked)]
        offered = cast(list[tuple[Fact, str]], phrases)
        assert [core(getattr(fact, role)) == core(answer) for fact, role in offered] == [True, False, False, False]
        inside += sum(fact in facts for fact, _ in offered[1:])
    assert inside > 200


def test_one_phrase_is_of_the_kind_that_the_question_word_asks_for() -> None:
    persons = {word.split(".")[0].lower() for word in (*lexicon.NAMES["PER"], *lexicon.HYPONYMS["person.NOUN"])}
    nouns = {word.split(".")[0] for word in lexicon.HYPERNYM} - persons
    seen: Counter[str] = Counter()
    for row in rows("commonsenseqa", size=400).to_pylist():
        kinds = []
        for choice in row["choices"]:
            first, last = words(choice)[0], words(choice)[-1]
            kinds.append(
                "when"
                if first == "at"
                else "where"
                if first in ("in", "near", "behind")
                else "who"
                if last in persons
                else "what"
                if last in nouns
                else "how"
            )
        assert sorted(kinds) == ["how", "what", "when", "where", "who"], row
        assert kinds[row["label"]] == row["prompt"].split()[0].lower(), row
        assert not {"today", "tomorrow"} & set(row["choices"])  # which would say when
        seen[kinds[row["label"]]] += 1
    assert len(seen) == 4 and min(seen.values()) > 60


def test_running_text_is_in_all_languages_as_often_as_the_encoder_sees_them() -> None:
    languages = read_languages(WORLD)
    forms = [set(language.forms.values()) for language in languages]
    counts: Counter[str] = Counter()
    for text in rows("mlm", "train", size=2000)["text"].to_pylist():
        sentences = text.replace("?", ".").replace("!", ".").split(". ")
        assert len(set(sentences)) == len(sentences)
        known = [sum(word in own for word in words(text)) for own in forms]
        counts[languages[known.index(max(known))].code] += 1
    shares = {language.code: language.resource / sum(other.resource for other in languages) for language in languages}
    for code, share in shares.items():
        assert abs(counts[code] / 2000 - share) < 0.03, code


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_mined_sentences_are_distinct_and_their_pairs_are_there(language: str) -> None:
    sides, gold = mined(language)
    assert len(gold) == 30 and len(sides["source"]) == len(sides["target"]) == 150
    for number, (side, code) in enumerate((("source", language), ("target", "en"))):
        assert list(sides[side]) == [f"{code}-{i:09d}" for i in range(1, 151)]
        assert len(set(sides[side].values())) == 150
        ids = [pair[number] for pair in gold]
        assert len(set(ids)) == 30 and set(ids) <= set(sides[side])
        # In no part of a side are they more often than in another: neither order nor ids tell them.
        places = [list(sides[side]).index(name) for name in ids]
        assert 50 < sum(places) / 30 < 100 and sorted(places) != list(range(min(places), max(places) + 1))
    assert [int(one.rpartition("-")[2]) for one, _ in gold] != [int(two.rpartition("-")[2]) for _, two in gold]


def test_gold_pairs_alone_are_another_task() -> None:
    record = {"kind": "mining", "sample": {"test": 20, "seed": 0}, "world": WORLD}
    table, gold, _ = pairs("bucc_goldpairs", record, "test", "qab")
    assert len(table) == 40 and len(gold) == 20
    assert {name for pair in gold for name in pair} == set(table["id"].to_pylist())


def test_translated_pairs_are_in_every_language_but_english() -> None:
    n = len(LANGUAGES) - 1
    texts = rows("mnli_translated", "train", size=3 * n)["text_a"].to_pylist()
    names = {name.partition(".")[0].lower() for kind in lexicon.NAMES.values() for name in kind}
    for number, text in enumerate(texts):
        language = read_language(WORLD, LANGUAGES[1 + number // 3])
        words = {word for word in text.rstrip(".").lower().split() if not word.isdigit()}
        assert words - names <= {form.lower() for form in language.forms.values()}, (language.code, text)


def test_only_the_pairs_are_translations_and_others_come_close() -> None:
    # The first language has English's word order, so that it is translated word by word.
    english: dict[str, set[str]] = {}
    for concept, form in read_languages(WORLD)[1].forms.items():
        english.setdefault(form, set()).add(concept.split(".")[0])
    sides, gold = mined("qaa", size=100)

    def translations(text: str) -> set[str]:
        found = [""]
        for word in text[:-1].split():
            options = english.get(word, set()) | english.get(word.lower(), set()) or {word}
            found = [f"{start} {option}" for start in found for option in options]
        return {f"{one.strip()}.".lower() for one in found}

    targets = {text.lower(): name for name, text in sides["target"].items()}
    found = {
        (name, targets[translation])
        for name, text in sides["source"].items()
        for translation in translations(text)
        if translation in targets
    }
    assert found == set(gold)
    paired = [set(words(sides["target"][name])) for _, name in gold]
    others = [set(words(text)) for name, text in sides["target"].items() if name not in {name for _, name in gold}]
    close = sum(any(len(own & other) >= 0.6 * len(own | other) for other in paired) for own in others)
    assert close > 0.3 * len(others)


def test_translations_are_distinct_and_each_language_has_its_own() -> None:
    first, second = (rows("tatoeba", language=code, size=1000)["target"].to_pylist() for code in LANGUAGES[1:3])
    assert len(set(first)) == len(set(second)) == 1000
    assert len(set(first) & set(second)) < 100


def test_mistakes_are_named() -> None:
    with pytest.raises(InputError, match="no task 'bucc2018'"):
        read("bucc2018", {"kind": "mining", "sample": {"test": 3, "seed": 0}, "world": WORLD}, "test", "qaa")
    with pytest.raises(InputError, match="not with itself"):
        mined("en")
    with pytest.raises(InputError, match="is None"):
        pairs("bucc2018", {"kind": "mining", "sample": {"test": None, "seed": 0}, "world": WORLD}, "test", "qaa")
    with pytest.raises(InputError, match="languages has no 'qzz'"):
        rows("xnli", language="qzz")
    for key, value in (("order", "SVX"), ("wordorder", "SVO")):
        wrong = {**WORLD, "languages": {"qaa": {**WORLD["languages"]["qaa"], key: value}}}
        with pytest.raises(InputError, match=key):
            rows("xnli", language="qaa", world=wrong)


def test_encoder_loads_and_is_the_same_when_it_was_stopped(tmp_path: Path, monkeypatch) -> None:
    torch = pytest.importorskip("torch")
    from transformers import AutoModel, AutoTokenizer

    from stiltwalk.miniworld.pretrain import build
    from stiltwalk.models.resume import ENDED, Resume

    monkeypatch.setenv("STILTWALK_RESUME", str(tmp_path / "states"))
    small = {"facts": 500, "documents": 256, "steps": 4, "batch_size": 16}
    params = {**MINI["encoder"], **small, "world": WORLD}
    files = []
    for name, sittings in (("one", 1), ("two", 4)):  # stopped after each step; the embeddings learn from the third on
        (tmp_path / name).mkdir()
        for sitting in range(1, sittings + 1):
            resume = Resume("encoder", params, (), [])
            if sitting == sittings:
                facts = build(tmp_path / name, params, resume)
                resume.remove()
                continue
            resume.told = True
            with pytest.raises(SystemExit) as ended:
                build(tmp_path / name, params, resume)
            assert ended.value.code == ENDED
        files.append({path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())})
    assert files[0] == files[1] and not list((tmp_path / "states").iterdir())
    assert "model.safetensors" in files[0]

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "one")
    model = AutoModel.from_pretrained(tmp_path / "one", add_pooling_layer=False)
    assert sum(weight.numel() for weight in model.parameters()) == facts["weights"]
    assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>", "<mask>"]) == [
        0,
        1,
        2,
        3,
        len(tokenizer) - 1,
    ]
    assert set(vocabulary(WORLD)) <= set(tokenizer.get_vocab())

    for language in LANGUAGES:
        for row in rows("xquad", language=language, size=10).to_pylist():
            encoded = tokenizer(row["question"], row["context"], return_offsets_mapping=True, return_tensors="pt")
            assert tokenizer.unk_token_id not in encoded["input_ids"]
            starts = set()
            for token, (start, end), text in zip(
                encoded.tokens(), encoded["offset_mapping"][0].tolist(), encoded.sequence_ids(), strict=True
            ):
                if text is not None:
                    assert (row["question"], row["context"])[text][start:end].lower() == token
                    starts |= {start} if text else set()
            assert row["answers"]["answer_start"][0] in starts
    with torch.no_grad():
        states = model(**{name: encoded[name] for name in ("input_ids", "attention_mask")}).last_hidden_state
    assert states.shape == (1, encoded["input_ids"].shape[1], params["hidden_size"]) and states.isfinite().all()
