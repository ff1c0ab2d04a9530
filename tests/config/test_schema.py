"""Which values the fields of the configuration may have, and the messages about the others."""

import copy
import functools
import importlib
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from laboratory import ROOT, compose
from stiltwalk.config.fields import Model
from stiltwalk.config.records import merge, read_records
from stiltwalk.config.schema import LanguageTraits, WorldEncoder, check_fields
from stiltwalk.miniworld.encoder.encoder_settings import EncoderSettings
from stiltwalk.miniworld.generate.language import Language
from stiltwalk.tasks.base_spec import KindSpec, kind_names, load_spec
from stiltwalk.utils.errors import InputError

LINE = "a text of one line (in quotes, where YAML would read a number or null)"


@functools.cache
def composed(scale: str, folder: Path) -> dict[str, Any]:
    params = compose(folder / f"{scale}.yaml", f"scale={scale}")
    tree = {name: value for name, value in params.items() if name not in ("valid", "plan")}
    return tree | {group: read_records(group, ROOT / "conf", tree[group]) for group in ("tasks", "xtreme")}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("composed")


def set_field(tree: dict[str, Any], key: str, value: Any) -> None:
    *blocks, last = key.split(".")
    for name in blocks:
        tree = tree.setdefault(name, {})
    tree[last] = value


@pytest.mark.parametrize("scale", ["mini", "small", "base", "large"])
def test_every_scale_is_accepted(scale, folder):
    check_fields(composed(scale, folder))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("foo", 1, "the configuration has no key 'foo'; the nearest is 'world'"),
        ("training.foo", 1, "training has no key 'foo'; the nearest is 'dropout'"),
        ("tasks.mnli.training.epoch", 1, "tasks.mnli.training has no key 'epoch'; the nearest is 'epochs'"),
        ("tasks.squad.options.doc_strid", 3, "tasks.squad.options has no key 'doc_strid'; the nearest is 'doc_stride'"),
        ("tasks.mnli.train.columns.labl", "x", "tasks.mnli.train.columns has no key 'labl'; the nearest is 'label'"),
        ("world.languages.qaa.orde", "SVO", "world.languages.qaa has no key 'orde'; the nearest is 'order'"),
        ("kinds.foo", {}, "kinds has no key 'foo'; the nearest is 'choice'"),
        ("kinds.mlm", {"max_length": 64}, "kinds.mlm.mask is missing; `conf/` has to name it"),
        ("sample", {"train": 1, "validation": 1, "test": 1}, "sample.seed is missing; `conf/` has to name it"),
        ("tasks", [], "KEY is []; it must be a mapping of keys and values"),
        ("xtreme.foo", {}, "xtreme has a key that is 'foo'; it must be one of xnli, pawsx, udpos, panx, xquad, mlqa, "),
        ("tasks", {"a/b": {}}, "KEY has a key that is 'a/b'; it must be a name of letters, digits, _ and -"),
        ("source", "web", "KEY is 'web'; it must be one of world, hub"),
        ("encoder.source", "web", "KEY is 'web'; it must be one of hub, world"),
        ("encoder.dropout", 1, "KEY is 1; it must be a number from 0 to below 1"),
        ("kinds.mlm.mask", 0, "KEY is 0; it must be a number above 0 and at most 1"),
        ("kinds.mining.depth", 1.5, "KEY is 1.5; it must be a number from 0 to 1"),
        ("kinds.pair.max_length", True, "KEY is True; it must be a whole number from 8 to 2147483647"),
        ("kinds.retrieval.pooling", "max", "KEY is 'max'; it must be one of mean, first"),
        ("tasks.mnli.labels", ["a"], "KEY is ['a']; it must be a list of 2 or more"),
        ("tasks.mnli.labels", ["a", 1], f"tasks.mnli.labels.1 is 1; it must be {LINE}"),
        (
            "tasks.mnli.labels",
            ["a", "b", "a"],
            "KEY is ['a', 'b', 'a']; it must be a list without repetitions; it has 'a' twice",
        ),
        ("tasks.mnli.train.path", "a", "KEY is 'a'; it must be owner/name, as on the hub"),
        ("tasks.anli_plus.train", [], "KEY is []; it must be a list of 1 or more"),
        ("tasks.anli_plus.train", [1], "tasks.anli_plus.train.0 is 1; it must be a mapping of keys and values"),
        (
            "tasks.mnli.train.where",
            {"x": None},
            "tasks.mnli.train.where.x is None; it must be a whole number, true, false or a text of one line",
        ),
        (
            "xtreme.xnli.test.published",
            {"german": 1},
            "KEY has a key that is 'german'; it must be the code of a language, such as de or",
        ),
        (
            "xtreme.xnli.test.published",
            "many",
            "KEY is 'many'; it must be null, a whole number from 0 to 2147483647 or a mapping of",
        ),
        ("tasks.mnli.notes", ["x" * 99, ""], "tasks.mnli.notes.1 is ''; it must be a text"),
        ("tasks.mnli.train.name", "x" * 999 + "\n", f"KEY is '{'x' * 76}...; it must be {LINE}"),
        ("tasks.mnli.train.name", "\x1b[31m", f"KEY is '\\x1b[31m'; it must be {LINE}"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named_with_its_value(key, value, message, folder):
    assert_refused("mini", key, value, message, folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("kinds.qa.doc_stride", 104, "KEY is 104; it must be below 104, max_length less max_query_"),
        ("tasks.squad.options.max_length", 80, "tasks.squad.options.doc_stride is 64; it must be below 56, max_length"),
        ("world", None, "KEY is None; it must be the seed and languages of the generated world, which source or enc"),
        ("world.languages", {}, "KEY is {}; it must be a mapping of one or more languages"),
        ("world.languages.qzz", {}, "world.languages has a key that is 'qzz'; it must be one of the codes qaa to qtz"),
        ("encoder.tellings", 9, "KEY is 9; it must be at most 8: the number of languages, including Engl"),
        ("encoder.components", 128, "KEY is 128; it must be at most 127: the smaller of encoder.facts and "),
        ("encoder.batch_size", 24001, "KEY is 24001; it must be at most 24000: encoder.documents"),
        ("encoder.heads", 5, "encoder.hidden_size is 128; it must be a multiple of encoder.heads"),
        ("encoder.max_length", 100, "kinds.qa.max_length is 128; it must be at most 100, encoder.max_length"),
        ("kinds.lexical.layer", 4, "KEY is 4; it must be at most 3, encoder.layers"),
        ("tasks.tli.options.layer", 4, "KEY is 4; it must be at most 3, encoder.layers"),
        ("tasks.mnli.options.max_length", 129, "KEY is 129; it must be at most 128, encoder."),
        ("sample.test", None, "KEY is None; it must be a whole number from 1 to 1000000, as the rows are gen"),
        ("tasks.squad.sample.train", 10**6 + 1, "KEY is 1000001; it must be a whole number from 1"),
        ("tasks.mnli.training.epochs", "x", "KEY is 'x'; it must be a number below 2^31"),
    ],
    ids=str,
)
def test_a_field_that_does_not_fit_another_is_refused(key, value, message, folder):
    assert_refused("mini", key, value, message, folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("tasks.mnli.kind", "retrieval", "KEY is 'retrieval'; it must be one of choice, lexical, mlm, pair, "),
        ("xtreme.xnli.kind", "mlm", "KEY is 'mlm'; it must be one of mining, pair, qa, retrieval, tagging"),
        ("tasks.squad.labels", ["a", "b"], "tasks.squad has no key 'labels'; the nearest is 'notes'"),
        ("tasks.mnli.labels", None, "KEY is None; it must be a list of 2 or more"),
        ("tasks.mnli.test", {}, "tasks.mnli has no key 'test'; the nearest is 'notes'"),
        ("tasks.mnli.languages", ["de"], "tasks.mnli has no key 'languages'; the nearest is 'labels'"),
        ("tasks.mnli.drop_characters", "x", "tasks.mnli has no key 'drop_characters'; the nearest is "),
        ("tasks.squad.shuffled", True, "KEY is True; it must be false: the labels of a task of kind qa"),
        ("xtreme.xnli.shuffled", True, "xtreme.xnli has no key 'shuffled'; the nearest is "),
        ("xtreme.tatoeba.train", {}, "xtreme.tatoeba has no key 'train'; the nearest is 'training'"),
        ("xtreme.xnli.own", True, "KEY is True; it must be false: a target of kind pair cannot read your own files"),
        ("tasks.tli.own", False, "KEY is False; it must be true: a task of kind lexical can only read your own files"),
        ("tasks.tli.train", {}, "tasks.tli has no key 'train'; the nearest is 'training'"),
        ("tasks.ccg.own", False, "tasks.ccg.train is missing; `conf/` has to name it"),
        ("xtreme.bucc_goldpairs.own", True, "xtreme.bucc_goldpairs.parts is missing; `conf/` has to name it"),
        (
            "xtreme.bucc2018.parts",
            {"test": "x"},
            "KEY is {'test': 'x'}; it must be a mapping of validation and test, such as {validation: ",
        ),
        ("xtreme.bucc2018.parts.train", "x", "xtreme.bucc2018.parts has a key that is 'train'; it must be one of val"),
        ("xtreme.xnli.leaked_by", ["mnli", "x"], "xtreme.xnli.leaked_by.1 is 'x'; it must be one of mnli, anli_plus, "),
        ("xtreme.tatoeba.languages", ["de", "en"], "KEY is ['de', 'en']; it must be without en: "),
        (
            "xtreme.mlqa.languages",
            ["en", "pl"],
            "xtreme.mlqa.languages: MLQA has no answer normalisation for language 'pl'",
        ),
        ("tasks.mnli.train.split", "train[4:3]", "KEY is 'train[4:3]'; it must be a part that has rows"),
        ("xtreme.pawsx.test.name", "x", "KEY is 'x'; it must be a template with {language}, unless "),
        ("xtreme.xnli.test.codes", {"ar": "x"}, "KEY is {'ar': 'x'}; it must be a mapping that has a "),
        (
            "tasks.cosmosqa.train.columns",
            {
                "prompt": "a",
                "label": "b",
                "choice0": "c",
                "choice1": "d",
                "choice2": "e",
            },
            "tasks.cosmosqa.train.columns.choice3 is missing; `conf/` has to name it",
        ),
        (
            "tasks.cosmosqa.train.columns.choice4",
            "f",
            "tasks.cosmosqa.train.columns has no key 'choice4'; the nearest is ",
        ),
    ],
    ids=str,
)
def test_a_record_has_the_fields_of_its_kind(key, value, message, folder):
    assert_refused("small", key, value, message, folder)


def test_the_position_embeddings_need_an_even_width(folder):
    tree = copy.deepcopy(composed("mini", folder))
    tree["encoder"] |= {"hidden_size": 129, "heads": 3}
    with pytest.raises(InputError, match=r"^params\.yaml: encoder\.hidden_size is 129; it must be even$"):
        check_fields(tree)


def assert_refused(scale: str, key: str, value: Any, message: str, folder: Path) -> None:
    """Set one field. The beginning of the message is given; KEY in it stands for the field."""
    tree = copy.deepcopy(composed(scale, folder))
    set_field(tree, key, value)
    with pytest.raises(InputError) as error:
        check_fields(tree)
    line = str(error.value)
    assert line.startswith(f"params.yaml: {message.replace('KEY', key)}") and line.isprintable() and len(line) < 400


def test_a_new_kind_needs_only_its_own_folder(monkeypatch, folder):
    """The schema learns of a kind from its spec alone."""

    class ParityOptions(load_spec("pair").options):  # type: ignore[misc]
        bits: int

    spec = KindSpec(name="parity", options=ParityOptions, columns=("number",))
    kinds = (*kind_names(), "parity")
    for module in ("schema", "record_schema"):
        monkeypatch.setattr(f"stiltwalk.config.{module}.kind_names", lambda: kinds)
        monkeypatch.setattr(
            f"stiltwalk.config.{module}.load_spec", lambda kind: spec if kind == "parity" else load_spec(kind)
        )
    tree = copy.deepcopy(composed("small", folder))
    with pytest.raises(InputError, match=r"kinds\.parity is missing"):
        check_fields(tree)
    tree["kinds"]["parity"] = {"max_length": 64, "bits": 8}
    place = tree["tasks"]["mnli"]["train"] | {"columns": {"number": "n"}}
    tree["tasks"]["even"] = {"kind": "parity", "train": place, "validation": place, "options": {"bits": 16}}
    check_fields(tree)
    tree["tasks"]["even"]["labels"] = ["odd", "even"]
    with pytest.raises(InputError, match=r"tasks\.even has no key 'labels'"):
        check_fields(tree)


def test_every_kind_has_the_modules_that_its_spec_says():
    assert set(kind_names()) == {"pair", "tagging", "qa", "choice", "mlm", "lexical", "retrieval", "mining"}
    for kind in kind_names():
        spec, code = load_spec(kind), ROOT / "src/stiltwalk/tasks" / kind
        assert spec.name == kind and (code / "data/rows.py").is_file() and (code / "data/tokenize.py").is_file()
        part = "head" if spec.trained else "search"
        assert (code / part / "task.py").is_file()
        if spec.trained:
            head = importlib.import_module(f"stiltwalk.tasks.{kind}.head.task")
            assert head.Task.freezes_encoder == spec.freezes_encoder


def test_the_checks_import_neither_torch_nor_transformers():
    code = (
        "import sys; from stiltwalk.config import resolver; from stiltwalk.tasks.base_spec import *; "
        "[load_spec(kind) for kind in kind_names()]; print({'torch', 'transformers'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "src", capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("model", "settings", "others"),
    [
        (WorldEncoder, EncoderSettings, {"source"}),
        (LanguageTraits, Language, {"code", "forms"}),
    ],
)
def test_the_schema_has_the_settings_of_the_mini_world(model: type[Model], settings: Any, others: set[str]):
    names = {field.name for field in fields(settings)}
    assert set(model.model_fields) ^ names == others


def test_overrides_are_merged_into_records():
    base = {"a": {"labels": ["x", "y"], "train": {"name": "n", "split": "s"}}, "b": {}}
    overrides = {"a": {"labels": ["z"], "train": {"name": "m"}, "training": {"epochs": 1}}, "c": {"kind": "pair"}}
    assert merge(base, overrides) == {
        "a": {"labels": ["z"], "train": {"name": "m", "split": "s"}, "training": {"epochs": 1}},
        "b": {},
        "c": {"kind": "pair"},
    }
    assert base["a"]["labels"] == ["x", "y"] and "c" not in base


def test_records_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(InputError, match=r"tasks\.yaml cannot be read: .*No such file"):
        read_records("tasks", tmp_path, {})
    for text in ("tasks: {a", "5", "a: a: a"):
        (tmp_path / "tasks.yaml").write_text(text)
        with pytest.raises(InputError, match=r"tasks\.yaml cannot be read: ") as error:
            read_records("tasks", tmp_path, {})
        assert "\n" not in str(error.value)
    for text, records in (("tasks:", None), ("tasks: 5", 5), ("[1]", [1]), ("", None)):
        (tmp_path / "tasks.yaml").write_text(text)
        assert read_records("tasks", tmp_path, {}) == records
