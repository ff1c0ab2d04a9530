"""Files of rows to files of token ids, which training maps into memory."""

from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from stiltwalk.tasks.base_data.row_tokenizer import Features, RowTokenizer, SubwordTokenizer, load_tokenizer
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.files import write_json
from stiltwalk.utils.tables import read_table

ROWS_PER_PART = 50_000  # rows whose token ids are Python integers at the same time


def tokenize_folder(folder: Path, options: dict[str, Any], subwords: SubwordTokenizer) -> int:
    """Tokenise every `<split>.parquet` of a task to `<split>.arrow` beside it, and return the number of tokens.

    `labels.json` lists the labels that the label numbers stand for: those of the options, or those that occur in
    the training rows if the options name none.
    """
    training_rows = folder / "train.parquet"
    if not options["labels"] and training_rows.is_file():
        labels = load_tokenizer(options, subwords).labels_of(read_table(training_rows))
        options = options | {"labels": labels}
    tokenizer = load_tokenizer(options, subwords)
    tokens = 0
    for path in tqdm(sorted(folder.glob("*.parquet")), f"{folder.name} tokens", unit="file"):
        try:
            batch = _tokenize_table(read_table(path), not path.stem.startswith("test-"), tokenizer)
        except InputError as error:
            raise InputError(f"{folder.name} {path.stem}: {error}") from None
        write_batch(batch, folder / f"{path.stem}.arrow")
        tokens += len(batch["input_ids"].flatten(recursive=True))
        for what, count in tokenizer.lost.items():
            if count:
                tqdm.write(f"{folder.name} {path.stem}: {count:,} {what}")
        tokenizer.lost.clear()
    write_json(options["labels"], folder / "labels.json")
    return tokens


def record_batch(features: Features, first_row: int = 0) -> pa.RecordBatch:
    """Return columns of numbers, of lists of numbers, or (several sequences per row) of lists of such lists.

    A column holds integers of 32 bits, or floats of 32 bits if its first value is one.

    Two columns are added where the features lack them: `row`, the row of the data that each tokenized row comes from,
    and `loss_terms`, the number of terms that the row adds to the loss (1).
    first_row: the number, within the data, of the first row that the features were made from.
    """
    count = len(features["input_ids"])
    columns: dict[str, Any] = {"row": range(count), "loss_terms": [1] * count} | features
    columns["row"] = [first_row + row for row in columns["row"]]
    return pa.record_batch({name: pa.array(values, _type_of(values)) for name, values in columns.items()})


def write_batch(batch: pa.RecordBatch, path: Path) -> None:
    """Write an Arrow file, which `TokenizedRows.read` maps into memory."""
    with pa.ipc.new_file(path, batch.schema) as file:
        file.write_batch(batch)


def _tokenize_table(table: pa.Table, gold: bool, tokenizer: RowTokenizer) -> pa.RecordBatch:
    """Tokenise a table part by part, so that the Python integers of all its rows are never in memory together."""
    starts = range(0, max(1, len(table)), ROWS_PER_PART)
    parts = [record_batch(tokenizer.tokenize(table.slice(start, ROWS_PER_PART), gold), start) for start in starts]
    names = parts[0].schema.names
    return pa.RecordBatch.from_arrays([pa.concat_arrays([part[name] for part in parts]) for name in names], names)


def _type_of(values: list[Any]) -> pa.DataType:
    """Return the Arrow type of a column, judged by its first value that is not an empty list."""
    first = next((value for value in values if not isinstance(value, list) or value), 0)
    depth = 1 if values and isinstance(values[0], list) else 0
    if depth and isinstance(first, list) and isinstance(first[0], list):
        depth, first = 2, first[0]
    number = first[0] if isinstance(first, list) and first else first
    arrow_type = pa.float32() if isinstance(number, float) else pa.int32()
    for _ in range(depth):
        arrow_type = pa.large_list(arrow_type)
    return arrow_type
