"""Write and read files. Folders and JSON files appear whole or not at all."""

import contextlib
import csv
import hashlib
import json
import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any


def partial_path(target: Path) -> Path:
    """Where a file or folder is written before it replaces `target`."""
    return target.with_name(f".{target.name}.partial")


@contextlib.contextmanager
def atomic_dir(target: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `target` when the block ends without an error."""
    partial = partial_path(target)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    # Move the old folder away first: a process killed while it deletes a folder must not leave half of one in place.
    old = partial_path(target.with_name(f"{target.name}.old"))
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def dvc_md5(path: Path) -> str:
    """Return the MD5 by which dvc.lock knows a file, or a folder: that of the list of its files, with `.dir`."""
    if path.is_file():
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    files = {file.relative_to(path).as_posix(): dvc_md5(file) for file in path.rglob("*") if file.is_file()}
    listing = [{"md5": files[name], "relpath": name} for name in sorted(files, key=lambda name: tuple(name.split("/")))]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def write_json(value: Any, path: Path) -> None:
    """Write JSON that reads well in a diff, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    partial.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.rename(path)


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]], path: Path) -> None:
    """Write a table for DVC's plots."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])


def to_jsonable(value: Any) -> Any:
    """Convert to plain types, with floats rounded to six decimals. NaN and infinity become null."""
    if isinstance(value, dict):
        return {str(name): to_jsonable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_jsonable(item) for item in value]
    value = value.item() if hasattr(value, "item") else value  # NumPy scalars
    if isinstance(value, float):
        return round(value, 6) + 0.0 if math.isfinite(value) else None
    return value
