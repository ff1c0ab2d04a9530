"""Any value in any field of the configuration: it is refused in one line that names the field, or may really be."""

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

from fuzzing import few_or, fuzz, refused
from stiltwalk.config.schema import check_fields

ROOT = Path(__file__).resolve().parents[2]

TYPES = [None, True, 0, 1, -1, 2.5, "x", "7", [], [1], ["a", "a"], [None], {}, {"x": 1}, {1: 2}]
NUMBERS = [-2.5, math.nan, math.inf, -math.inf, 10**30, 1e308, 2**31, -(2**63)]
PATHS = ["../x", "/etc/passwd", "; rm -rf ~", "a b", "$(id)", "", " ", "x" * 100_000]
MARKS = ["a\nb", "a\tb", "\0", "\x1b[31m", "a\u2028b", "\ud800", "\u202ex", "שלום", "می\u200cخواهم"]
HOSTILE = st.sampled_from([*TYPES, *NUMBERS, *PATHS, *MARKS]) | st.integers() | st.floats() | st.text(max_size=9)
ABSENT, EXTRA = type("Absent", (), {}), type("Extra", (), {})
BROKEN = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # what is no line of text
# Where nothing, no text but only what could never be a line of a file, or an empty mapping, is a value like another.
NULLABLE = {"published", "train", "validation", "test", "dropout", "threads", "world"}
FREE = {"notes", "drop_characters", "name", "where", "columns", "codes", "labels"}
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


@few_or(2500, 60)
def test_no_field_of_the_configuration_is_taken_as_it_comes(cases: int):
    @fuzz(cases)
    @given(mutations())
    def check(mutation: tuple[str, tuple[Any, ...], Any]) -> None:
        scale, path, new = mutation
        with refused(".".join(map(str, path[:2])), str(path[-1]), "leaked_by") as said:
            check_fields(changed(tree(scale), path, new))
        assert said or new == at(tree(scale), path) or may_be(path, at(tree(scale), path), new)

    check()


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
