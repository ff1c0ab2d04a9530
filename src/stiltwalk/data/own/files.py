"""Where a user's own rows are: `data/own/<task>/`."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stiltwalk.tasks.base_data.kind_rows import load_rows

FOLDER = Path("data/own")


def own_file_names(record: Mapping[str, Any]) -> list[str]:
    """Return the names of the files that a user has to provide for a task or target."""
    return load_rows(record["kind"]).own_file_names(record)


def own_digest(task: str) -> str:
    """Return a digest of the names and contents of all files of a task: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(path for path in (FOLDER / task).rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(FOLDER).as_posix()} {content}\n".encode())
    return digest.hexdigest()[:16]
