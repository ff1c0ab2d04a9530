"""What one task is trained and validated on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from stiltwalk.tasks.base_head import TrainedTask, load_task
from stiltwalk.training.batching import TokenizedRows
from stiltwalk.utils.files import read_json
from stiltwalk.utils.tables import read_table


@dataclass
class TaskData:
    """A task with its training rows, tokenized, and its validation rows, as a table and tokenized."""

    task: TrainedTask[Any]
    train: TokenizedRows
    validation_table: pa.Table
    validation: TokenizedRows

    @classmethod
    def read(cls, folder: Path, options: dict[str, Any]) -> "TaskData":
        """Read a folder that a data stage wrote. Its labels complete the options of the task."""
        task = load_task(options | {"labels": read_json(folder / "labels.json")})
        train, validation = (TokenizedRows.read(folder / f"{split}.arrow") for split in ("train", "validation"))
        return cls(task, train, read_table(folder / "validation.parquet"), validation)
