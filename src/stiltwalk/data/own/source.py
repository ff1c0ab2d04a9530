"""Rows from a user's own files, `data/own/<task>/`, UTF-8. Their layout is described in `tasks/<kind>/data/rows.py`."""

from typing import Any

import numpy as np
import pyarrow as pa

from stiltwalk.data.own.files import FOLDER, own_digest
from stiltwalk.tasks.base_data.kind_rows import load_rows
from stiltwalk.utils.errors import InputError


def target_languages(record: dict[str, Any]) -> list[str]:
    """Return the languages in which a target is tested: those of its record."""
    languages: list[str] = record["languages"]
    return languages


def read(task: str, record: dict[str, Any], split: str, language: str = "en") -> tuple[pa.Table, dict[str, Any]]:
    """Read a split; returns a table with all columns of the record's kind, and its origin.

    `sample.<split>` rows are drawn by row number with the seed `sample.seed`.
    Raises InputError, naming file and line, where a line has a wrong layout or an unknown label, and where the
    files are not those whose digest the record has.
    """
    _check_digest(task, record)
    kind_rows = load_rows(record["kind"])
    path = FOLDER / task / f"{split}.{kind_rows.own_suffix}"
    labels = {label: number for number, label in enumerate(record.get("labels") or [])}
    rows = list(kind_rows.read_own(path, labels, record.get("layout", "")))
    if not rows:
        raise InputError(f"{path} has no rows")
    size, seed = record["sample"].get(split), record["sample"]["seed"]
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:size])
    table = pa.Table.from_pylist([rows[row] for row in chosen], schema=kind_rows.schema)
    sample = {"rows": size, "seed": seed}
    return table, {"path": str(path), "rows_read": len(rows), "rows_used": len(table), "sample": sample}


def read_pairs(
    task: str, record: dict[str, Any], split: str, language: str
) -> tuple[pa.Table, list[tuple[str, str]], dict[str, Any]]:
    """Read corpora in a language and in English.

    Returns a table of kind `mining`, the gold pairs of ids and the origin.
    `parts.<split>` of the record names the part of the files. No sample is drawn: fewer sentences are an easier task.
    Raises InputError as `read` does.
    """
    _check_digest(task, record)
    part = record["parts"][split]
    stem = FOLDER / task / f"{language}-en.{part}"
    table, gold = load_rows(record["kind"]).read_own_pairs(stem, language)
    sides = table["side"].to_pylist()
    origin = {
        "path": f"{stem}.*",
        "part": part,
        "sentences": {side: sides.count(side) for side in ("source", "target")},
        "pairs": len(gold),
    }
    return table, gold, origin


def _check_digest(task: str, record: dict[str, Any]) -> None:
    """Guard against files that change while an experiment runs: its parameters record the digest of the old ones."""
    if "digest" in record and own_digest(task) != record["digest"]:
        raise InputError(
            f"{FOLDER / task} changed since params.yaml was composed; repeat your `dvc exp run` command, with its -S"
        )
