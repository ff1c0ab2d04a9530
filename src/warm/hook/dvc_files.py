"""What DVC does around every stage, with less of it: its YAML files, and what Git is to track.

Around every stage DVC reads params.yaml about six times, writes all of dvc.lock anew by the parser that keeps comments,
of which that file has none, and collects all stages twice to see which files are outputs: most of what DVC takes here.
What is read, written and tracked is the same (tests/test_warm.py).
"""

import io
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

from dvc.dependency import param
from dvc.stage import utils
from dvc.utils import strictyaml
from dvc.utils.serialize import _yaml

_parse, _parse_for_update, _dump = _yaml.parse_yaml, _yaml.parse_yaml_for_update, _yaml._dump
_look_up = param.read_param_file
_stage_files = utils._get_stage_files


def hasten() -> None:
    """Put the functions below in the place of DVC's, in this process."""
    _yaml.parse_yaml, _yaml.parse_yaml_for_update, _yaml._dump = parse, parse_for_update, dump
    strictyaml.parse_yaml = parse
    param.read_param_file = values_of
    utils._get_stage_files = stage_files


_data: dict[str, Any] = {}  # what a text holds


def _remember(text: str, data: Any) -> None:
    _data[text] = data
    if len(_data) > 16:  # dvc.lock is a new text after every stage
        del _data[next(iter(_data))]


def parse(text: str, path: str, typ: str = "safe") -> Any:
    """What a text holds; a copy, for DVC changes what it gets."""
    if typ != "safe":
        return _parse(text, path, typ)
    _remember(text, _data.pop(text) if text in _data else _parse(text, path))  # as the latest
    return deepcopy(_data[text])


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


_written: dict[str, tuple[str, Any]] = {}  # of stages in dvc.lock: their lines, and what is read from these


def dump(data: Any, stream: TextIO) -> Any:
    """Write data as DVC does; of dvc.lock, only the stages that were not written so before."""
    if list(data) != ["schema", "stages"] or not data["stages"]:
        return _dump(data, stream)
    head = io.StringIO()
    _dump({"schema": data["schema"]}, head)
    lines = [head.getvalue(), "stages:\n"]
    stages: dict[str, Any] = {}
    for name, stage in data["stages"].items():
        told = repr((name, stage))
        if told not in _written:
            alone = io.StringIO()
            _dump({"stages": {name: stage}}, alone)
            _written[told] = alone.getvalue().partition("\n")[2], _parse(alone.getvalue(), "dvc.lock")["stages"]
        lines.append(_written[told][0])
        stages |= _written[told][1]
    stream.write("".join(lines))
    _remember("".join(lines), _parse(lines[0], "dvc.lock") | {"stages": stages})


_outputs: dict[str, set[str]] = {}  # that DVC caches, by repository


def stage_files(stage: Any) -> list[str]:
    """What Git is to track of a stage; which files are outputs stays the same as long as a command runs."""
    repo = stage.repo
    if repo.root_dir not in _outputs:
        _outputs[repo.root_dir] = {out.fs_path for out in repo.index.outs if out.use_cache}
    outputs = _outputs[repo.root_dir]

    def is_output(path: Path) -> bool:
        return not outputs.isdisjoint(map(str, (path, *path.parents)))

    before = repo.__dict__.pop("dvcfs", None)
    repo.__dict__["dvcfs"] = SimpleNamespace(from_os_path=lambda path: Path(repo.fs.abspath(path)), isdvc=is_output)
    try:
        return _stage_files(stage)
    finally:
        del repo.__dict__["dvcfs"]
        if before:
            repo.__dict__["dvcfs"] = before
