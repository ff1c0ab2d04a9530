"""Data between stages: one parquet file a split, one schema a kind of task.

| kind      | columns                                                                               |
|-----------|---------------------------------------------------------------------------------------|
| pair      | text_a, text_b, label (its name)                                                      |
| tagging   | tokens, tags (their names, one a token)                                               |
| qa        | id, context, question, answers{text[], answer_start[] in characters}                  |
| retrieval | source (language xx, in its own order) and target (English, sorted: gold is elsewhere) |

The files that are predicted on (`test-<language>.parquet`) lack the gold column.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from common.errors import InputError

_STRINGS = pa.list_(pa.string())
SCHEMAS = {
    "pair": pa.schema({"text_a": pa.string(), "text_b": pa.string(), "label": pa.string()}),
    "tagging": pa.schema({"tokens": _STRINGS, "tags": _STRINGS}),
    "qa": pa.schema(
        {
            "id": pa.string(),
            "context": pa.string(),
            "question": pa.string(),
            "answers": pa.struct({"text": _STRINGS, "answer_start": pa.list_(pa.int32())}),
        }
    ),
    "retrieval": pa.schema({"source": pa.string(), "target": pa.string()}),
}
GOLD = {"pair": "label", "tagging": "tags", "qa": "answers", "retrieval": None}


def schema(kind: str, gold: bool = True) -> pa.Schema:
    """The columns of a kind, with or without the gold one."""
    if kind not in SCHEMAS:
        raise InputError(f"unknown kind of task '{kind}'; there are {', '.join(SCHEMAS)}")
    full = SCHEMAS[kind]
    return full if gold or not GOLD[kind] else full.remove(full.get_field_index(GOLD[kind]))


def write_table(table: pa.Table, path: Path, kind: str, gold: bool = True) -> None:
    """Write a table whose columns are exactly those of the kind; same rows, same bytes."""
    wanted = schema(kind, gold)
    pq.write_table(table.select(wanted.names).cast(wanted), path, compression="zstd")


def read_table(path: Path, kind: str, gold: bool = True) -> pa.Table:
    """Read a table and check its columns against its kind."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as parquet: {str(error).splitlines()[0]}") from None
    if table.schema.names != schema(kind, gold).names:
        raise InputError(f"{path} has columns {table.schema.names}; a {kind} task needs {schema(kind, gold).names}")
    return table
