"""DVC's YAML files, read once and written by the stage.

Around every stage DVC reads params.yaml about six times and writes all of dvc.lock anew by the parser that keeps
comments, of which that file has none: half of what DVC takes here. What is read and written is the same, to the byte
(tests/test_warm.py).
"""

import io
from copy import deepcopy
from functools import lru_cache
from typing import Any, TextIO

from dvc.dependency import param
from dvc.utils.serialize import _yaml

_parse, _parse_for_update, _dump = _yaml.parse_yaml, _yaml.parse_yaml_for_update, _yaml._dump
_look_up = param.read_param_file


def hasten() -> None:
    """Put the functions below in the place of DVC's, in this process."""
    _yaml.parse_yaml, _yaml.parse_yaml_for_update, _yaml._dump = parse, parse_for_update, dump
    param.read_param_file = values_of


@lru_cache(maxsize=8)
def _parsed(text: str, path: str) -> Any:
    return _parse(text, path)


def parse(text: str, path: str, typ: str = "safe") -> Any:
    """What a text holds; a copy, for DVC changes what it gets."""
    return deepcopy(_parsed(text, path)) if typ == "safe" else _parse(text, path, typ)


def parse_for_update(text: str, path: str) -> Any:
    """What a text holds, with its comments where it may have any."""
    return _parse_for_update(text, path) if "#" in text else parse(text, path)


_found: dict[tuple[Any, ...], Any] = {}  # values of parameters by a file's text and their keys


def values_of(fs: Any, path: str, key_paths: list[str] | None = None, flatten: bool = False, **options: Any) -> Any:
    """The values of keys, which are looked up in the whole tree every time."""
    if options or not key_paths:
        return _look_up(fs, path, key_paths, flatten, **options)
    with fs.open(path, encoding="utf-8") as file:
        key = (file.read(), path, *key_paths, flatten)
    if key not in _found:
        _found[key] = _look_up(fs, path, key_paths, flatten)
    return deepcopy(_found[key])


_written: dict[str, str] = {}  # the lines of stages in dvc.lock, by what they hold


def dump(data: Any, stream: TextIO) -> Any:
    """Write data as DVC does; of dvc.lock, only the stages that were not written so before."""
    if list(data) != ["schema", "stages"] or not data["stages"]:
        return _dump(data, stream)
    _dump({"schema": data["schema"]}, stream)
    stream.write("stages:\n")
    for name, stage in data["stages"].items():
        told = repr((name, stage))
        if told not in _written:
            alone = io.StringIO()
            _dump({"stages": {name: stage}}, alone)
            _written[told] = alone.getvalue().partition("\n")[2]
        stream.write(_written[told])
