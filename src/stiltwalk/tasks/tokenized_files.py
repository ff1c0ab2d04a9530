"""Files of rows -> files of encoded rows, which training maps into memory."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from stiltwalk.tasks.base_tokenize import Tokens
from stiltwalk.tasks.tables import labels_of, read_table
from stiltwalk.utils.stage import write_json

PART = 50_000  # rows that are numbers of Python's at a time
_LIST = pa.large_list(pa.int32())


def encode_folder(rows: Path, out: Path, options: dict[str, Any], tokens: Tokens) -> int:
    """Encode every `<split>.parquet` of a task to `out/<split>.arrow`; the number of tokens.

    `out/labels.json` has the labels that numbers stand for: those of the options, or the ones of the training rows.
    """
    kind, total = options["kind"], 0
    out.mkdir(parents=True, exist_ok=True)
    encode = import_module(f"encoding.{kind}").encode
    if kind == "tagging" and not options["labels"]:
        options = options | {"labels": labels_of(read_table(rows / "train.parquet", kind), kind)}
    for path in tqdm(sorted(rows.glob("*.parquet")), f"{rows.name} tokens", unit="file"):
        gold = not path.stem.startswith("test-")
        table = read_table(path, kind, gold)
        firsts = range(0, max(1, len(table)), PART)
        parts = [record_batch(encode(table.slice(first, PART), gold, options, tokens), first) for first in firsts]
        batch = pa.RecordBatch.from_arrays(
            [pa.concat_arrays([part[name] for part in parts]) for name in parts[0].schema.names], parts[0].schema.names
        )
        write_batch(batch, out / f"{path.stem}.arrow")
        total += len(batch["input_ids"].flatten(recursive=True))
    write_json(options["labels"], out / "labels.json")
    return total


def record_batch(features: dict[str, list[Any]], first: int = 0) -> pa.RecordBatch:
    """Columns of whole numbers, of lists of them, or (several sequences a row) of lists of lists.

    `row` (of the data, each row's own where none is told) and `weight` (loss terms, 1 where none are told) are added.
    first: the number of the first row of the data among them.
    """
    count = len(features["input_ids"])
    columns: dict[str, Any] = {"row": range(count), "weight": [1] * count} | features
    columns["row"] = [first + row for row in columns["row"]]
    return pa.record_batch({name: pa.array(values, _type(values)) for name, values in columns.items()})


def write_batch(batch: pa.RecordBatch, path: Path) -> None:
    """Write a file that `Encoded.read` of src/training maps into memory."""
    with pa.ipc.new_file(path, batch.schema) as file:
        file.write_batch(batch)


def _type(values: list[Any]) -> pa.DataType:
    first = next((value for value in values if not isinstance(value, list) or value), 0)
    if not isinstance(first, list):
        return _LIST if values and isinstance(values[0], list) else pa.int32()
    return pa.large_list(_LIST) if isinstance(first[0], list) else _LIST
