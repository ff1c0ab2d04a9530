"""What one task is trained and validated on."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from stiltwalk.tasks.base_head import TrainedTask
from stiltwalk.training.batching import TokenizedRows


@dataclass
class TaskData:
    """A task with its training rows, tokenized, and its validation rows, as a table and tokenized."""

    task: TrainedTask[Any]
    train: TokenizedRows
    validation_table: pa.Table
    validation: TokenizedRows
