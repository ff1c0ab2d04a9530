"""Data between stages: one parquet file a split, one schema a kind of task.

| kind      | columns                                                                               |
|-----------|---------------------------------------------------------------------------------------|
| pair      | text_a, text_b, label (its name)                                                      |
| tagging   | tokens, tags (their names, one a token)                                               |
| qa        | id, context, question, answers{text[], answer_start[] in characters}                  |
| choice    | prompt, choices (the answers to choose from), label (number of the right one, from 0)  |
| text      | text                                                                                  |
| retrieval | source (language xx, in its own order) and target (English, sorted: gold is elsewhere) |
| lexical   | source, target (a word pair)                                                          |
| mining    | side (source: language xx; target: English), id, text; gold pairs are elsewhere        |

The files that are predicted on (`test-<language>.parquet`) lack the gold column.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stiltwalk.utils.errors import InputError

IGNORED = -100  # among the numbers of labels that of a token without one; torch's cross entropy leaves it out
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
    "choice": pa.schema({"prompt": pa.string(), "choices": _STRINGS, "label": pa.int32()}),
    "text": pa.schema({"text": pa.string()}),
    "retrieval": pa.schema({"source": pa.string(), "target": pa.string()}),
    "lexical": pa.schema({"source": pa.string(), "target": pa.string()}),
    "mining": pa.schema({"side": pa.string(), "id": pa.string(), "text": pa.string()}),
}
GOLD = {
    "pair": "label",
    "tagging": "tags",
    "qa": "answers",
    "choice": "label",
    "text": None,
    "retrieval": None,
    "lexical": None,
    "mining": None,
}


def schema(kind: str, gold: bool = True) -> pa.Schema:
    """The columns of a kind, with or without the gold one."""
    if kind not in SCHEMAS:
        raise InputError(f"unknown kind of task '{kind}'; there are {', '.join(SCHEMAS)}")
    full = SCHEMAS[kind]
    return full if gold or not GOLD[kind] else full.remove(full.get_field_index(GOLD[kind]))


def labels_of(table: pa.Table, kind: str) -> list[str]:
    """The labels that occur in rows of a tagging task, sorted; none for the other kinds, whose records name them."""
    return sorted({tag for tags in table["tags"].to_pylist() for tag in tags}) if kind == "tagging" else []


def shuffle_gold(table: pa.Table, kind: str, seed: int) -> pa.Table:
    """The rows with their gold column in an order drawn anew: the same texts and labels, nothing to learn."""
    column = GOLD[kind]
    order = np.random.default_rng(seed).permutation(len(table))
    return table.set_column(table.schema.get_field_index(column), column, table[column].take(pa.array(order)))


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
