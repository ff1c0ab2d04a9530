"""Files and folders that appear whole or not at all, and plain values for JSON."""

from pathlib import Path

import numpy as np
import pytest

from stiltwalk.utils.files import atomic_dir, read_json, to_jsonable, write_csv, write_json


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_replaces_the_old_one_whole(tmp_path):
    for name, old in (("first", {}), ("second", {"models/first": "1"})):
        with atomic_dir(tmp_path / "models") as folder:
            (folder / name).write_text("1")
            kept = {path: text for path, text in contents(tmp_path).items() if not path.startswith(folder.name)}
            assert kept == old
        assert contents(tmp_path) == {f"models/{name}": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_block_keeps_the_old_folder(tmp_path, error):
    with atomic_dir(tmp_path / "models") as folder:
        (folder / "weights").write_text("old")
    with pytest.raises(error), atomic_dir(tmp_path / "models") as folder:
        (folder / "weights").write_text("new")
        raise error
    assert contents(tmp_path) == {"models/weights": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_what_a_killed_process_left_is_not_part_of_the_new_folder(tmp_path):
    (tmp_path / ".models.partial").mkdir()
    (tmp_path / ".models.partial" / "half").write_text("1")
    with atomic_dir(tmp_path / "models") as folder:
        (folder / "weights").write_text("1")
    assert contents(tmp_path) == {"models/weights": "1"}


def test_a_value_that_json_lacks_keeps_the_old_file(tmp_path):
    path = tmp_path / "metrics" / "summary.json"
    write_json({"é": [1, None]}, path)
    assert path.read_text(encoding="utf-8") == '{\n "é": [\n  1,\n  null\n ]\n}\n'
    with pytest.raises(TypeError):
        write_json({"score": object()}, path)
    assert read_json(path) == {"é": [1, None]}
    assert [file.name for file in path.parent.iterdir()] == ["summary.json"]


def test_values_become_plain_ones_of_json():
    values = {1: np.float64(1 / 3), "counts": (np.int64(2), True), "none": [np.nan, -np.inf], "zero": -1e-9, "s": "a"}
    plain = to_jsonable(values)
    assert plain == {"1": 0.333333, "counts": [2, True], "none": [None, None], "zero": 0.0, "s": "a"}
    assert repr(plain["zero"]) == "0.0" and type(plain["1"]) is float and type(plain["counts"][0]) is int


def test_tables_have_a_header_and_unix_line_ends(tmp_path):
    write_csv(["layer", "score"], [[0, 1.5], [1, "a,b"]], tmp_path / "plots" / "table.csv")
    assert (tmp_path / "plots" / "table.csv").read_bytes() == b'layer,score\n0,1.5\n1,"a,b"\n'
