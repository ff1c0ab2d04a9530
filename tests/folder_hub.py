"""Data sets in a folder, read in place of the hub's."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import Dataset, Features

from stiltwalk.data.hub import fetch, raw_rows, source
from stiltwalk.tasks.base_data.kind_rows import load_rows

NLI = ["entailment", "neutral", "contradiction"]


class FolderHub:
    """A hub whose repositories are folders, `<owner>/<name>`."""

    def __init__(self, folder: Path):
        self.folder = folder

    def put(
        self, rows: dict[str, list[Any]], features: Features | None = None, card: dict[str, Any] | None = None
    ) -> None:
        """Write the rows as split `train` of config `all` of the data set a/b."""
        file = self.folder / "a/b/all/train/0000.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        if features:
            Dataset.from_dict(rows, features=features).to_parquet(file)
        else:
            pq.write_table(pa.table(rows), file)
        if card:
            (self.folder / "a/b/README.md").write_text(f"---\n{yaml.safe_dump(card)}---\n")

    def resolve_repository(self, path: str, revision: str, repo_type: str = "dataset") -> fetch.Repository:
        files = [file for file in (self.folder / path).rglob("*") if file.is_file()]
        sizes = {file.relative_to(self.folder / path).as_posix(): file.stat().st_size for file in files}
        return fetch.Repository(repo_type, path, revision, "0" * 40, sizes)

    def download(self, repo: fetch.Repository, name: str) -> Path:
        return self.folder / repo.path / name


def use_folder_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FolderHub:
    """Let the hub's source read a folder."""
    hub = FolderHub(folder)
    monkeypatch.setattr(source, "resolve_repository", hub.resolve_repository)
    monkeypatch.setattr(raw_rows, "download", hub.download)
    monkeypatch.setattr(fetch, "download", hub.download)
    return hub


def record_of(kind: str, labels: list[str] | None = None, split: str = "train", **more: Any) -> dict[str, Any]:
    """Return the record of a task whose split is what `FolderHub.put` wrote. `more`: other facts of the split."""
    columns = {name: name for name in load_rows(kind).schema.names}
    facts = {"path": "a/b", "name": "all", "split": "train", "revision": "main", "columns": columns}
    sample = {"train": None, "test": None, "seed": 3}
    return {"kind": kind, "labels": labels, "sample": sample, split: {**facts, **more}}


def text_pairs(labels: list[Any]) -> dict[str, list[Any]]:
    """Return rows of kind `pair` with these labels."""
    numbers = range(len(labels))
    return {"text_a": [f"a{i}" for i in numbers], "text_b": [f"b{i}" for i in numbers], "label": labels}
