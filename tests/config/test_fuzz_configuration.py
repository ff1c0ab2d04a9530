"""Any value in any field of the configuration is refused in one line that names the field, or really is allowed."""

import copy
import functools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import load_hydra_plugins
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from fuzzing import case_counts, fuzz, refused
from stiltwalk.config import resolver
from stiltwalk.config.records import read_records
from stiltwalk.config.schema import check_fields

ROOT = Path(__file__).resolve().parents[2]

TYPES = [None, True, 0, 1, -1, 2.5, "x", "7", [], [1], ["a", "a"], [None], {}, {"x": 1}, {1: 2}]
NUMBERS = [-2.5, math.nan, math.inf, -math.inf, 10**30, 1e308, 2**31, -(2**63)]
PATHS = ["../x", "/etc/passwd", "; rm -rf ~", "a b", "$(id)", "", " ", "x" * 100_000]
MARKS = ["a\nb", "a\tb", "\0", "\x1b[31m", "a\u2028b", "\ud800", "\u202ex", "שלום", "می\u200cخواهم"]
HOSTILE = st.sampled_from([*TYPES, *NUMBERS, *PATHS, *MARKS]) | st.integers() | st.floats() | st.text(max_size=9)
ABSENT, EXTRA = type("Absent", (), {}), type("Extra", (), {})
NOT_IN_LINES = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# Fields that may be null, hold any text of one line, or be an empty mapping.
NULLABLE = {"published", "train", "validation", "test", "dropout", "threads", "world"}
ANY_TEXT = {"notes", "drop_characters", "name", "where", "columns", "codes", "labels"}
MAY_BE_EMPTY = {"where", "codes", "options", "training", "sample", "published"}
OPTIONAL = {
    *ANY_TEXT,
    *MAY_BE_EMPTY,
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
CHECKED_IN_ORDERS = {"order", "targets", "seed", "checkpoints"}  # by config/orders.py


@functools.cache
def composed(scale: str) -> DictConfig:
    """The configuration before anything is derived from it."""
    load_hydra_plugins(str(ROOT / "src"))
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        return compose(config_name="config", overrides=[f"scale={scale}"])


@functools.cache
def tree(scale: str) -> dict[str, Any]:
    """The fields that people set, with the full records of tasks and targets."""
    raw = OmegaConf.to_container(composed(scale))
    assert isinstance(raw, dict)
    fields = {str(name): value for name, value in raw.items() if name not in resolver.DERIVED}
    return fields | {group: read_records(group, ROOT / "conf", fields[group]) for group in ("tasks", "xtreme")}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    return functools.reduce(lambda inner, key: inner[key], path, value)


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with another value in one place, or without that place. Everything else is shared."""
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
    """Whether a hostile value is allowed after all, decided without the code under test."""
    keys = {key for key in path if isinstance(key, str)}
    last = next(key for key in reversed(path) if isinstance(key, str))
    if new is None:
        return last in NULLABLE or {"ccg", "labels"} <= keys
    if new is EXTRA:
        return last == "where"
    if new is ABSENT:
        one_of_several = path[:-1] in (("tasks",), ("xtreme",), ("world", "languages")) or isinstance(path[-1], int)
        return one_of_several or last in OPTIONAL or bool(keys & MAY_BE_EMPTY) or path == ("tasks", "ccg", "labels")
    if isinstance(new, bool) or isinstance(old, bool):
        return type(new) is type(old) or "where" in keys
    if isinstance(new, str):
        if "where" not in keys and not isinstance(old, str):
            return False
        if last in ("split", "revision", "languages", "each") or "parts" in keys:
            return new.replace("_", "a").isalnum()
        return bool(keys & ANY_TEXT) and bool(new.strip()) and ("notes" in keys or not NOT_IN_LINES.search(new))
    if isinstance(new, (int, float)):
        number = isinstance(old, (int, float)) or old is None or "where" in keys or last == "published"
        return (
            number
            and ("where" in keys or 0 <= new < 2**63)
            and (isinstance(new, int) or not isinstance(old, int) or last in ("alpha", "epochs"))
        )
    empty = isinstance(new, dict) and not new and (isinstance(old, dict) or last == "published")
    return empty and (last in (*MAY_BE_EMPTY, "languages", "xtreme") or path[:-1] == ("world", "languages"))


@st.composite
def mutations(draw: Any) -> tuple[str, tuple[Any, ...], Any]:
    scale = draw(st.sampled_from(["mini", "small", "large"]))
    paths = [path for path in places(tree(scale)) if path[0] not in CHECKED_IN_ORDERS]
    # Every depth is equally likely: most places are numbers of rows by language.
    depth = draw(st.integers(1, 6))
    path = draw(st.sampled_from([path for path in paths if len(path) == depth] or paths))
    more = [ABSENT, *([EXTRA] * 3 if isinstance(at(tree(scale), path), dict) else [])]
    return scale, path, draw(HOSTILE | st.sampled_from(more))


@case_counts(2500, 60)
def test_every_field_of_the_configuration_is_checked(cases: int):
    @fuzz(cases)
    @given(mutations())
    def check(mutation: tuple[str, tuple[Any, ...], Any]) -> None:
        scale, path, new = mutation
        with refused(".".join(map(str, path[:2])), str(path[-1]), "leaked_by") as messages:
            check_fields(changed(tree(scale), path, new))
        assert messages or new == at(tree(scale), path) or may_be(path, at(tree(scale), path), new)

    check()


@pytest.fixture
def small_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A composed configuration with a tenth of the records, which takes a tenth of the time to check."""
    names = {"tasks": ("mnli", "squad", "tli"), "xtreme": ("pawsx", "bucc2018", "tatoeba")}
    raw: Any = OmegaConf.to_container(composed("mini"))
    for group, kept in names.items():
        records = read_records(group, ROOT / "conf", {})
        OmegaConf.save({group: {name: records[name] for name in kept}}, tmp_path / f"{group}.yaml")
        raw[group] = {name: value for name, value in raw[group].items() if name in kept}
    monkeypatch.setattr(resolver.ConfFolder, "path", tmp_path)
    return raw | {"order": ["squad", "mnli"], "targets": ["pawsx", "tatoeba"]}


@pytest.mark.slow
def test_a_composition_ends_in_one_line_or_has_the_plan_of_its_order(small_conf: dict[str, Any]):
    settable = [path for path in places(small_conf) if path[0] in CHECKED_IN_ORDERS or len(path) == 1]
    texts = st.sampled_from(
        ["mnli+", "mnli\n", "xnli", "${seed}", "${oops}", "???", "${", [["mnli"]], ["xnli"], ["bucc", "bucc2018"]]
    )

    @fuzz(300)
    @given(st.sampled_from(settable), HOSTILE | texts)
    def check(path: tuple[Any, ...], new: Any) -> None:
        try:
            root = OmegaConf.create(changed(small_conf, path, new))
        except OmegaConfBaseException:
            return  # neither YAML nor Hydra would produce this
        with refused(str(path[0]), "conf/") as messages:
            try:
                OmegaConf.resolve(root)
            except InterpolationKeyError:  # DVC's message then names the key
                return
        assert not messages or messages[0].startswith("error: ")
        if not messages:
            params: Any = OmegaConf.to_container(root)
            assert path != ("plan",)
            assert len(params["plan"]["steps"]) == len(params["order"])
            assert set(params["plan"]["targets"]) == {
                "bucc2018" if name == "bucc" else name for name in params["targets"]
            }

    check()


def test_the_small_configuration_composes(small_conf: dict[str, Any]):
    root = OmegaConf.create(small_conf)
    OmegaConf.resolve(root)
    assert list(root.plan.steps) == ["1-squad", "2-mnli"] and list(root.plan.targets) == ["pawsx", "tatoeba"]
