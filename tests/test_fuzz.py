"""Bad input of every kind: an error of one line that names the place, or what the input really means."""

import contextlib
import copy
import functools
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from dvc.utils.hydra import load_hydra_plugins
from hydra import compose, initialize_config_dir
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException
from safetensors.torch import load_file, save_file
from transformers import XLMRobertaModel

from common.errors import InputError
from common.tables import schema
from conftest import encoded
from encoding.tokens import Tokens
from modeling.encoder import check_vocabulary, load_encoder, load_tokenizer
from planning.fields import check_fields
from scoring.aggregate import score_task
from scoring.answers import squad
from scoring.tasks import TASKS
from sources import own
from sources.hub.convert import convert

ROOT = Path(__file__).resolve().parent.parent


def fuzz(cases: int) -> Any:
    """So many cases, the same ones every time."""
    return settings(
        max_examples=cases,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def refused(*places: str) -> Iterator[list[str]]:
    """Lets an error of one line pass that names one of the places; the list holds it afterwards."""
    said: list[str] = []
    try:
        yield said
    except (InputError, SystemExit) as error:
        said.append(str(error))
        assert len(said[0].splitlines()) == 1 and said[0].isprintable() and len(said[0]) < 1000, said
        assert any(place in said[0] for place in places), (said, places)


# Configuration

TYPES = [None, True, 0, 1, -1, 2.5, "x", "7", [], [1], ["a", "a"], [None], {}, {"x": 1}, {1: 2}]
NUMBERS = [-2.5, math.nan, math.inf, -math.inf, 10**30, 1e308, 2**31, -(2**63)]
PATHS = ["../x", "/etc/passwd", "; rm -rf ~", "a b", "$(id)", "", " ", "x" * 100_000]
MARKS = ["a\nb", "a\tb", "\0", "\x1b[31m", "a\u2028b", "\ud800", "\u202ex", "שלום", "می\u200cخواهم"]
HOSTILE = st.sampled_from([*TYPES, *NUMBERS, *PATHS, *MARKS]) | st.integers() | st.floats() | st.text(max_size=9)
ABSENT, EXTRA = type("Absent", (), {}), type("Extra", (), {})
BROKEN = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # what is no line of text
# Where nothing, no text but only what could never be a line of a file, or an empty mapping, is a value like another.
NULLABLE = {"published", "train", "validation", "test", "dropout", "threads", "world"}
FREE = {"notes", "name", "where", "columns", "codes", "labels"}
HOLLOW = {"where", "codes", "options", "training", "sample", "published"}
OPTIONAL = {
    *FREE,
    *HOLLOW,
    "stem",
    "question",
    "leaked_by",
    "own",
    "shuffled",
    "each",
    "order",
    "script",
    "cognates",
    "homographs",
}
OPTIONAL = OPTIONAL - {"name", "columns", "labels"} | {"adjective", "adposition", "article", "resource", "parts"}
ELSEWHERE = {"order", "targets", "seed", "checkpoints"}  # planning/order.py's


@functools.cache
def composed(scale: str) -> DictConfig:
    """The configuration before anything is derived from it."""
    load_hydra_plugins(str(ROOT / "src"))
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        return compose(config_name="config", overrides=[f"scale={scale}"])


@functools.cache
def tree(scale: str) -> dict[str, Any]:
    raw = OmegaConf.to_container(composed(scale))
    assert isinstance(raw, dict)
    return {str(name): value for name, value in raw.items() if not str(value).startswith("${")}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    return functools.reduce(lambda inner, key: inner[key], path, value)


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with another value in one place, or without that place; what lies elsewhere is shared."""
    key, *rest = path
    made = copy.copy(value)
    if not rest and new is ABSENT:
        del made[key]
    elif not rest and new is EXTRA:
        made[key] = {**value[key], "extra": 1}
    else:
        made[key] = changed(value[key], tuple(rest), new) if rest else new
    return made


def may_be(path: tuple[Any, ...], old: Any, new: Any) -> bool:
    """What of the hostile values is none; said without the rules that are tested."""
    keys = {key for key in path if isinstance(key, str)}
    last = next(key for key in reversed(path) if isinstance(key, str))
    if new is None:
        return last in NULLABLE or {"ccg", "labels"} <= keys
    if new is EXTRA:
        return last == "where"
    if new is ABSENT:
        one_of_several = path[:-1] in (("tasks",), ("xtreme",), ("world", "languages")) or isinstance(path[-1], int)
        return one_of_several or last in OPTIONAL or bool(keys & HOLLOW) or path == ("tasks", "ccg", "labels")
    if isinstance(new, bool) or isinstance(old, bool):
        return type(new) is type(old) or "where" in keys
    if isinstance(new, str):
        if "where" not in keys and not isinstance(old, str):
            return False
        if last in ("split", "revision", "languages", "each") or "parts" in keys:
            return new.replace("_", "a").isalnum()
        return bool(keys & FREE) and bool(new.strip()) and ("notes" in keys or not BROKEN.search(new))
    if isinstance(new, (int, float)):
        number = isinstance(old, (int, float)) or old is None or "where" in keys or last == "published"
        return (
            number
            and ("where" in keys or 0 <= new < 2**63)
            and (isinstance(new, int) or not isinstance(old, int) or last in ("alpha", "epochs"))
        )
    empty = isinstance(new, dict) and not new and (isinstance(old, dict) or last == "published")
    return empty and (last in (*HOLLOW, "languages", "xtreme") or path[:-1] == ("world", "languages"))


@st.composite
def mutations(draw: Any) -> tuple[str, tuple[Any, ...], Any]:
    scale = draw(st.sampled_from(["mini", "small", "large"]))
    found = [path for path in places(tree(scale)) if path[0] not in ELSEWHERE]
    # As many of every depth: most of the places are the languages' numbers of rows.
    depth = draw(st.integers(1, 6))
    path = draw(st.sampled_from([path for path in found if len(path) == depth] or found))
    more = [ABSENT, *([EXTRA] * 3 if isinstance(at(tree(scale), path), dict) else [])]
    return scale, path, draw(HOSTILE | st.sampled_from(more))


def check_configuration(cases: int) -> None:
    @fuzz(cases)
    @given(mutations())
    def check(mutation: tuple[str, tuple[Any, ...], Any]) -> None:
        scale, path, new = mutation
        with refused(".".join(map(str, path[:2])), str(path[-1]), "leaked_by") as said:
            check_fields(changed(tree(scale), path, new))
        assert said or new == at(tree(scale), path) or may_be(path, at(tree(scale), path), new)

    check()


def test_no_field_of_the_configuration_is_taken_as_it_comes():
    check_configuration(60)


@pytest.mark.slow
def test_no_field_of_the_configuration_is_taken_as_it_comes_at_length():
    check_configuration(2500)


@pytest.mark.slow
def test_a_composition_ends_in_one_line_or_in_what_it_says():
    raw: Any = OmegaConf.to_container(composed("mini"))
    raw["tasks"] = {name: raw["tasks"][name] for name in ("mnli", "squad", "tli")}  # a tenth, in a tenth of the time
    raw["xtreme"] = {name: raw["xtreme"][name] for name in ("pawsx", "bucc2018", "tatoeba")}
    raw |= {"order": ["squad", "mnli"], "targets": ["pawsx", "tatoeba"]}
    settable = [path for path in places(raw) if path[0] in ELSEWHERE or len(path) == 1]
    texts = st.sampled_from(
        ["mnli+", "mnli\n", "xnli", "${seed}", "${oops}", "???", "${", [["mnli"]], ["xnli"], ["bucc", "bucc2018"]]
    )

    @fuzz(300)
    @given(st.sampled_from(settable), HOSTILE | texts)
    def check(path: tuple[Any, ...], new: Any) -> None:
        try:
            root = OmegaConf.create(changed(raw, path, new))
        except OmegaConfBaseException:
            return  # YAML or Hydra would not have given it
        with refused(str(path[0]), "conf/") as said:
            try:
                OmegaConf.resolve(root)
            except InterpolationKeyError:  # what DVC prints then names the key
                return
        assert not said or said[0].startswith("error: ")
        if not said:
            params = OmegaConf.to_container(root)
            assert isinstance(params, dict) and len(params["chain"]) == len(params["order"])
            assert set(params["benchmark"]) == {"bucc2018" if name == "bucc" else name for name in params["targets"]}

    check()


# Files of bytes

INSERTS = [
    b"\xff",
    b"\xc3",
    b"\0",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
    b"\n\n",
    b"\t",
    b" ",
    b"NaN",
    b"{",
    b'"',
    b"\\",
    b"]",
]
INSERTS += [text.encode() for text in ("\u200b", "\u2028", "\x85", "שלום", "\u202e", "é", "x\ty\tz\n")]


@st.composite
def broken(draw: Any, whole: bytes, longest: int = 3) -> bytes:
    """A file with a few faults: in its lines, its bytes, its length or its encoding."""
    for _ in range(draw(st.integers(1, longest))):
        lines, place = whole.splitlines(keepends=True), draw(st.integers(0, len(whole)))
        line = draw(st.integers(0, max(0, len(lines) - 1)))
        fault = draw(st.integers(0, 8))
        if fault <= 2:
            piece = draw(st.sampled_from(INSERTS) | st.binary(max_size=3))
            whole = whole[:place] + piece + whole[place + draw(st.sampled_from([0, 0, 1])) :]
        elif fault == 3:
            whole = whole[:place]
        elif fault == 4:
            whole = b"".join(lines[:line] + lines[line + 1 :])
        elif fault == 5:
            whole = b"".join(lines[: line + 1] + lines[line:])
        elif fault == 6:
            whole = b"".join(lines[:line] + lines[line + 1 :] + lines[line : line + 1])
        elif fault == 7:
            whole = whole.replace(b"\n", b"\r\n")
        else:
            whole = draw(
                st.sampled_from([b"", b"\xef\xbb\xbf" + whole, whole.decode("utf-8", "replace").encode("utf-16-le")])
            )
    return whole


# A user's own files

LABELS = ["yes", "no", "NP/N"]
OWN = {
    "pair": "who sees\tthe cat\tyes\nשלום עולם\tمی\u200cخواهم\tno\n\nx\u202ey\tz\u2028z\tno\n",
    "tagging": "The\tNP/N\ncat\tno\n\nשלום\tyes\nمی\u200cخواهم\tno\n",
    "text": "the cat\nשלום\n\nمی\u200cخواهم\n",
    "lexical": "cat\tגתול\nمی\u200cخواهم\tdog\n",
}
MINED = {"zh": "zh-1\t你好\nzh-2\t再\u200b见\n", "en": "en-1\tBye.\nen-2\tHello.\n", "gold": "zh-1\ten-2\nzh-2\ten-1\n"}


def lines_of(data: bytes) -> list[str]:
    """The lines of a text file that say anything."""
    assert b"\0" not in data
    lines = [line.rstrip("\r") for line in data.decode().removeprefix("\ufeff").split("\n")]
    return [line for line in lines if line.strip()]


def rows_as_lines(kind: str, rows: list[dict[str, Any]]) -> list[str]:
    if kind == "tagging":
        return [f"{token}\t{tag}" for row in rows for token, tag in zip(row["tokens"], row["tags"], strict=True)]
    return ["\t".join(row.values()) for row in rows]


def check_own(cases: int, folder: Path) -> None:
    path = folder / "mine/train.tsv"
    path.parent.mkdir(exist_ok=True)

    @fuzz(cases)
    @given(st.sampled_from(list(OWN)).flatmap(lambda kind: st.tuples(st.just(kind), broken(OWN[kind].encode()))))
    def check(case: tuple[str, bytes]) -> None:
        kind, data = case
        path.write_bytes(data)
        with refused(f"{path} line ", f"{path} has no rows") as said:
            sample = {"train": None, "seed": 0}
            table, _ = own.read("mine", {"kind": kind, "labels": LABELS, "sample": sample}, "train")
        if not said:
            rows = table.to_pylist()
            assert rows_as_lines(kind, rows) == lines_of(data)  # nothing lost, nothing changed
            assert all(row["label"] in LABELS for row in rows if kind == "pair")
            assert all(tag in LABELS for row in rows for tag in row.get("tags", []))
            assert not any(value.strip() == "" for row in rows for value in row.values() if isinstance(value, str))

    @fuzz(cases // 2)
    @given(st.sampled_from(list(MINED)).flatmap(lambda end: st.tuples(st.just(end), broken(MINED[end].encode()))))
    def check_mining(case: tuple[str, bytes]) -> None:
        files = {end: text.encode() for end, text in MINED.items()} | {case[0]: case[1]}
        for end, data in files.items():
            (folder / f"mine/zh-en.dev.{end}").write_bytes(data)
        with refused(*(f"{folder}/mine/zh-en.dev.{end}" for end in MINED)) as said:
            table, gold, _ = own.pairs("mine", {"parts": {"test": "dev"}}, "test", "zh")
        if not said:
            rows = table.to_pylist()
            assert [f"{row['id']}\t{row['text']}" for row in rows] == lines_of(files["zh"]) + lines_of(files["en"])
            assert ["\t".join(pair) for pair in gold] == lines_of(files["gold"]) != []
            ids = [(row["side"], row["id"]) for row in rows]
            assert len(set(ids)) == len(ids) and all(("source", a) in ids and ("target", b) in ids for a, b in gold)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own, "FOLDER", folder)
        check()
        check_mining()


def test_a_users_file_is_read_as_it_is_or_its_line_is_named(tmp_path: Path):
    check_own(40, tmp_path)


@pytest.mark.slow
def test_a_users_file_is_read_as_it_is_or_its_line_is_named_at_length(tmp_path: Path):
    check_own(1000, tmp_path)


@pytest.mark.parametrize(
    ("kind", "fields", "fits"),
    [
        ("text", "{0}", True),
        ("lexical", "{0}\t{0}", True),
        ("lexical", "{0}", False),
        ("pair", "{0}\t{0}\tyes", True),
        ("pair", "{0}\t{0}", False),
        ("tagging", "{0}\tno", True),
        ("tagging", "{0}\t{0}", False),
    ],
)
def test_a_line_of_ten_megabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, fields: str, fits: bool
) -> None:
    monkeypatch.setattr(own, "FOLDER", tmp_path)
    (tmp_path / "mine").mkdir()
    text = fields.format("ab " * 3_500_000 + "c")
    (tmp_path / "mine/train.tsv").write_text(text)
    with refused("train.tsv line 1 ") as said:
        record = {"kind": kind, "labels": LABELS, "sample": {"train": None, "seed": 0}}
        table, _ = own.read("mine", record, "train")
        assert rows_as_lines(kind, table.to_pylist()) == [text]
    assert bool(said) != fits


# Tables of the hub

NLI = ["entailment", "neutral", "contradiction"]
CONTEXT = "Anna sees the red cat. שלום Ben."
TABLES: dict[str, tuple[list[str], dict[str, list[Any]]]] = {
    "pair": (NLI, {"text_a": ["a", "שלום", "a"], "text_b": ["b", "می\u200cخواهم", "c"], "label": [0, 2, -1]}),
    "tagging": (
        NLI,
        {"tokens": [["the", "cat"], ["שלום\u200b"], []], "tags": [["neutral", "neutral"], ["entailment"], []]},
    ),
    "qa": (
        [],
        {
            "id": ["q1", "q2", "q3"],
            "context": [CONTEXT] * 3,
            "question": ["who sees the cat?", "who?", "what?"],
            "answers": [
                {"text": ["Anna"], "answer_start": [0]},
                {"text": ["שלום"], "answer_start": [20]},
                {"text": [], "answer_start": []},
            ],
        },
    ),
    "choice": (
        ["A", "B"],
        {"prompt": ["who?", "what?"], "stem": ["it", "is"], "choices": [["a", "b"], ["c", "d"]], "label": ["A", "B"]},
    ),
    "text": ([], {"text": ["the cat", " ", "שלום"]}),
    "retrieval": ([], {"source": ["a\n", "שלום"], "target": ["b", "\u200bc"]}),
    "mining": ([], {"source": ["a"], "target": ["b"], "source_id": ["x1"], "target_id": ["e1"]}),
}
SCALARS = [None, "", " ", "x", "7", "neutral", "Anna\0", "\u202ex", 0, -1, 3, 10**12, 2.5, math.nan, True, b"\xff"]
LISTS = [[], ["a"], ["a", None], [1], [["a"]]]
ANSWERS = [
    {},
    {"text": ["a"]},
    {"text": ["x"], "answer_start": []},
    {"text": ["Anna"], "answer_start": [99]},
    {"text": [None], "answer_start": [0]},
    {"text": "Anna", "answer_start": [0, 1, 2, 3]},
    {"text": None, "answer_start": None},
    {"text": ["Anna"], "answer_start": [None]},
    {"text": ["Anna"], "answer_start": [0.5]},
]
CELLS: st.SearchStrategy[Any] = st.sampled_from([*SCALARS, *LISTS, *ANSWERS])


def check_hub(cases: int, tokens: Tokens) -> None:
    @fuzz(cases)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        kind = data.draw(st.sampled_from(list(TABLES)))
        labels, rows = copy.deepcopy(TABLES[kind])
        name, cell = data.draw(st.sampled_from(list(rows))), data.draw(CELLS)
        everywhere = data.draw(st.booleans())  # else Arrow has no type for most of it
        rows[name] = [cell if everywhere or row == 0 else value for row, value in enumerate(rows[name])]
        type_ = data.draw(
            st.sampled_from([None, None, pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
        )
        training = data.draw(st.booleans())
        try:
            raw = pa.table(rows)
            if type_ and pa.types.is_string(raw.schema.field(name).type):
                raw = raw.set_column(raw.schema.get_field_index(name), name, raw[name].cast(type_))
        except (pa.ArrowException, TypeError, OverflowError):
            return  # no such table
        with refused("a/b (all): row ", f"a/b (all): {name}", "a/b (all): columns do not fit"):
            done = convert(raw, kind, labels, dict.fromkeys(rows), training, "a/b (all)")
            fit = ~np.any([np.zeros(len(done.table), bool), *done.unfit.values()], axis=0)
            table = done.table.filter(pa.array(fit))
            assert table.schema == schema(kind)
            for row in table.to_pylist():
                check_row(kind, row, labels, training)
            if kind == "pair":
                assert table.select(["text_a", "text_b"]) == raw.select(["text_a", "text_b"]).filter(
                    pa.array(fit)
                ).cast(table.select(["text_a", "text_b"]).schema)
            if len(table) and kind != "mining":
                options = {"labels": labels, "max_length": 16, "doc_stride": 4, "max_query_length": 4, "mask": 0.5}
                encoded(kind, table, training, options, tokens)

    check()


def check_row(kind: str, row: dict[str, Any], labels: list[str], training: bool) -> None:
    if kind == "pair":
        assert row["label"] in labels
    if kind == "tagging":
        assert (
            len(row["tokens"]) == len(row["tags"]) > 0 and set(row["tags"]) <= set(labels) and None not in row["tokens"]
        )
    if kind == "choice":
        assert len(row["choices"]) == len(labels) > row["label"] >= 0
    if kind == "qa":
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            assert (start == -1 and not training) or row["context"][start : start + len(text)] == text
    assert all(value is not None for value in row.values())


def test_a_table_of_the_hub_has_sound_rows_or_is_refused(tokens: Tokens):
    check_hub(60, tokens)


@pytest.mark.slow
def test_a_table_of_the_hub_has_sound_rows_or_is_refused_at_length(tokens: Tokens):
    check_hub(2000, tokens)


# Predictions and labels

SQUAD = """{"data": [{"paragraphs": [{"context": "", "qas": [
{"id": "a", "answers": [{"text": "x y"}]},
{"id": "ש", "answers": [{"text": "é"}, {"text": "the e"}]},
{"id": "c", "answers": [{"text": "z"}]}
]}]}]}
"""
FILES = {  # gold and predictions
    "xnli": ("neutral\nentailment\nneutral\n", "neutral\nneutral\ncontradiction\n"),
    "udpos": ("NOUN\nVERB\n\nNOUN\nX\n", "NOUN\nNOUN\n\nNOUN\nX\n"),
    "tatoeba": ("2\n0\n1\n", "2\n1\n1\n"),
    "bucc2018": ("de-1\ten-1\nde-2\ten-3\n", "de-1\ten-1\nde-3\ten-2\n"),
    "xquad": (SQUAD, '{\n"a": "x",\n"ש": "é",\n"c": "z"\n}\n'),
}


def expected(name: str, gold: bytes, predicted: bytes) -> float | None:
    """The accuracy, or for pairs F1 and for questions exact match, worked out anew; None where the files do not fit."""
    one, other = (data.decode().removeprefix("\ufeff") for data in (gold, predicted))
    if name == "xquad":
        tree, answers = json.loads(one), json.loads(other, object_pairs_hook=list)
        right = [
            (q["id"], [a["text"] for a in q["answers"]])
            for d in tree["data"]
            for p in d["paragraphs"]
            for q in p["qas"]
        ]
        ids = [key for key, _ in right]
        if sorted(ids) != sorted(key for key, _ in answers) or len(set(ids)) < len(ids):
            return None
        given_ = dict(answers)
        return float(np.mean([squad([texts], [given_[key]], "en")["exact_match"] for key, texts in right]))
    wanted, found = ([line.strip() for line in re.split("\r\n|\r|\n", text)] for text in (one, other))
    for lines in (wanted, found):
        while lines and not lines[-1]:
            lines.pop()
    if name == "bucc2018":
        if not wanted or any(line.count("\t") != 1 for line in [*wanted, *found]):
            return None
        both = len(set(wanted) & set(found))
        return 200 * both / (len(set(wanted)) + len(set(found)))
    if not any(wanted) or [bool(line) for line in wanted] != [bool(line) for line in found]:
        return None
    return 100 * sum(a == b for a, b in zip(wanted, found, strict=True) if a) / sum(map(bool, wanted))


def check_scoring(cases: int, folder: Path) -> None:
    @fuzz(cases)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(FILES)))
        gold, predicted = (text.encode() for text in FILES[name])
        if data.draw(st.sampled_from([True, False, False])):
            gold = data.draw(broken(gold))
        else:
            predicted = data.draw(broken(predicted))
        suffix = TASKS[name].suffix
        for part, content in (("labels", gold), ("predictions", predicted)):
            (folder / part / name).mkdir(parents=True, exist_ok=True)
            (folder / part / name / f"test-en.{suffix}").write_bytes(content)
        with refused(*(str(folder / part / name / f"test-en.{suffix}") for part in ("labels", "predictions"))) as said:
            scores = score_task(name, folder / "labels" / name, folder / "predictions" / name).languages["en"]
        if not said:
            main = {"xquad": "exact_match", "bucc2018": "f1"}.get(name, "accuracy")
            assert scores[main] == pytest.approx(expected(name, gold, predicted))

    check()


def test_mutilated_predictions_are_named_or_scored_as_they_stand(tmp_path: Path):
    check_scoring(60, tmp_path)


@pytest.mark.slow
def test_mutilated_predictions_are_named_or_scored_as_they_stand_at_length(tmp_path: Path):
    check_scoring(2000, tmp_path)


@fuzz(40)
@given(st.sampled_from(["xnli", "xquad"]), st.sampled_from(["labels", "predictions"]), st.data())
def test_every_language_has_both_files_or_the_missing_one_is_named(name: str, part: str, data: st.DataObject):
    suffix = TASKS[name].suffix
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for folder_, text in zip(("labels", "predictions"), FILES[name], strict=True):
            (folder / folder_).mkdir()
            for language in ("en", "de"):
                (folder / folder_ / f"test-{language}.{suffix}").write_text(text, encoding="utf-8")
        file = folder / part / f"test-{data.draw(st.sampled_from(['en', 'de', 'xx', '', 'EN']))}.{suffix}"
        was = file.exists()
        file.unlink() if was else shutil.copy(folder / part / f"test-en.{suffix}", file)
        other = folder / ("labels" if part == "predictions" else "predictions") / file.name
        with refused(str(file), str(other)) as said:
            score_task(name, folder / "labels", folder / "predictions")
        assert said


def test_a_prediction_of_ten_megabytes(tmp_path: Path):
    for part in ("labels", "predictions"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "test-en.tsv").write_text("a\n" * 3)
    (tmp_path / "predictions/test-en.tsv").write_text(f"a\na\n{'b' * 10_000_000}\n")
    assert score_task("xnli", tmp_path / "labels", tmp_path / "predictions").score == pytest.approx(200 / 3)
    with refused(f"{tmp_path}/predictions/test-en.tsv line 3 ") as said:
        (tmp_path / "labels/test-en.tsv").write_text("a\na\n\na\n")
        score_task("udpos", tmp_path / "labels", tmp_path / "predictions")
    assert said


# Checkpoints

CONFIGS: list[dict[str, Any]] = [
    {"model_type": model}
    for model in ("bert", "gpt2", "roberta", "distilbert", "t5", "electra", "none", None, 1, "../x")
]
CONFIGS += [{"num_hidden_layers": number} for number in (-1, 0, 1, 3, 10**9, "2", None, 2.5, math.nan)]
CONFIGS += [{"vocab_size": number} for number in (-1, 0, 5, 24, 26, 1000, "25", None)]
CONFIGS += [{"hidden_size": number} for number in (0, 16, 31, 64, -32, [32])]
CONFIGS += [{"num_attention_heads": number} for number in (0, 3, -2, None)]
CONFIGS += [{"pad_token_id": number} for number in (None, -5, 25, "1")]
CONFIGS += [{"is_decoder": True}, {"hidden_act": "x"}, {"intermediate_size": 65}, {"max_position_embeddings": 2}]
CONFIGS += [{"architectures": ["BertModel"]}, {"type_vocab_size": 2}, {"hidden_dropout_prob": "x"}]


@st.composite
def spoils(draw: Any) -> Callable[[Path], Any]:
    """What is done to a folder with a checkpoint that leaves it broken."""
    config = draw(st.sampled_from(CONFIGS))
    share, bits = draw(st.floats(0, 0.999)), draw(st.integers(1, 255))
    value, index = draw(st.sampled_from([math.nan, math.inf, -math.inf])), draw(st.integers(0, 10**6))

    def configure(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | config))

    def truncate(name: str) -> Callable[[Path], Any]:
        return lambda folder: os.truncate(folder / name, int(share * (folder / name).stat().st_size))

    def flip(folder: Path) -> None:
        """A byte of the header: its length, names, types, shapes and places."""
        data = bytearray((folder / "model.safetensors").read_bytes())
        data[int(share * (8 + int.from_bytes(data[:8], "little")))] ^= bits
        (folder / "model.safetensors").write_bytes(data)

    def weights(change: Callable[[dict[str, torch.Tensor], str], Any]) -> Callable[[Path], Any]:
        def spoil(folder: Path) -> None:
            found = load_file(folder / "model.safetensors")
            change(found, sorted(found)[index % len(found)])
            save_file(found, folder / "model.safetensors", {"format": "pt"})

        return spoil

    def poison(found: dict[str, torch.Tensor], name: str) -> None:
        found[name].view(-1)[index % found[name].numel()] = value

    def cut(found: dict[str, torch.Tensor], name: str) -> None:
        found[name] = found[name][1:].clone()

    files = ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"]
    broken = [configure, flip, weights(lambda found, name: found.pop(name)), weights(poison), weights(cut)]
    broken += [truncate(name) for name in files] + [lambda folder: shutil.copy(folder / files[3], folder / files[0])]
    broken += [lambda folder: (folder / files[int(share * 3)]).write_bytes(bytes([bits])), more_words]
    return draw(st.sampled_from(broken))


def more_words(folder: Path) -> None:
    """The tokenizer of another model."""
    path = folder / "tokenizer.json"
    tree = json.loads(path.read_text())
    tree["model"]["vocab"]["other"] = 25
    path.write_text(json.dumps(tree))


def check_checkpoints(cases: int, toy: Path, place: Path) -> None:
    states, ids = load_encoder(toy).state_dict(), Tokens(toy).ids(["the cat who sees"])

    @fuzz(cases)
    @given(spoils())
    def check(spoil: Callable[[Path], Any]) -> None:
        folder = place / "encoder"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(toy, folder)
        spoil(folder)
        with refused(str(folder)) as said:
            encoder, tokenizer = load_encoder(folder, 0.0), load_tokenizer(folder)
            check_vocabulary(encoder, tokenizer, folder)
        assert not said or "again" in said[0]
        with refused(str(folder)):  # as the stage that encodes reads it, without transformers
            assert Tokens(folder).ids(["the cat who sees"]) == ids
        if not said:  # what was changed is of no weight
            found = encoder.state_dict()
            assert max(tokenizer.get_vocab().values()) < len(found["embeddings.word_embeddings.weight"])
            assert not encoder.config.is_decoder  # which would hide later words from earlier ones
            assert found.keys() == states.keys() and type(encoder) is XLMRobertaModel
            assert all(torch.equal(found[name], states[name]) for name in states)

    check()


def test_a_broken_checkpoint_is_named_and_never_half_loaded(toy_folder: Path, tmp_path: Path):
    check_checkpoints(30, toy_folder, tmp_path)


@pytest.mark.slow
def test_a_broken_checkpoint_is_named_and_never_half_loaded_at_length(toy_folder: Path, tmp_path: Path):
    check_checkpoints(400, toy_folder, tmp_path)
