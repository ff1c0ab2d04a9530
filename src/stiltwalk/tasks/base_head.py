"""Base classes of the kinds of task that train a head on the encoder."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
import pyarrow as pa
import torch
from accelerate import Accelerator
from torch import nn
from transformers import PreTrainedModel

from stiltwalk.training.batching import TokenizedRows

if TYPE_CHECKING:
    from stiltwalk.training.task_data import TaskData

Prediction = TypeVar("Prediction")
Value = TypeVar("Value")


class TaskHead(nn.Module):
    """A head on the encoder. Its attributes say what it reads of the encoder."""

    hidden_state: int | None = None
    """Index of the hidden state that the head reads: 0 is the output of the embeddings, None the last layer's."""
    shared_embeddings: Sequence[nn.Embedding] = ()
    """Embeddings of the encoder that the head reads as a whole."""

    def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the logits.

        hidden: hidden states (sequences x tokens x width). A batch with an `mlm_mask` gives only those of the masked
        tokens (tokens x width). attention_mask: 1 at tokens, 0 at padding (sequences x tokens).
        """
        raise NotImplementedError


class TrainedTask(ABC, Generic[Prediction]):
    """A task of one kind: its head, its loss, and what becomes of its predictions.

    A prediction is the answer for one row of the data, in the form of the kind: a label, a text, a list of tags.
    """

    suffix: ClassVar[str] = "tsv"
    """Suffix of the files with predictions."""
    freezes_encoder: ClassVar[bool] = False
    """Whether the encoder itself is frozen. Such a task is alone in its step, and is trained once, without retries."""

    def __init__(self, options: dict[str, Any]) -> None:
        """options: the kind, its labels, and the options of the kind itself."""
        self.options = options

    @abstractmethod
    def make_head(self, encoder: PreTrainedModel, dropout: float) -> TaskHead:
        """Return a head with fresh weights."""

    @abstractmethod
    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the loss, summed over the loss terms of the batch (rows, tokens or windows)."""

    @abstractmethod
    def decode(self, logits: list[np.ndarray], rows: TokenizedRows, table: pa.Table) -> list[Prediction]:
        """Return a prediction for every row of the table.

        logits: one array per tokenized row:
          - tokens x outputs, without padding, of a head that reads tokens;
          - masked tokens x outputs, if the row has an `mlm_mask`;
          - the outputs of the row's sequences, concatenated, of a head that reads sequences.
        """

    @abstractmethod
    def evaluate(self, predictions: list[Prediction], table: pa.Table) -> dict[str, float]:
        """Score predictions against the gold column, from 0 to 100; the main score comes first."""

    @abstractmethod
    def write_predictions(self, predictions: list[Prediction], table: pa.Table, path: Path) -> None:
        """Write the predictions in the format of XTREME's submissions. Only targets need it."""

    def majority_baseline(self, table: pa.Table) -> list[Prediction] | None:
        """Return the predictions of a model that has learned nothing, such as the most frequent label for every row.

        A training whose score is not clearly above that baseline's is flagged, and repeated if `training.retries` is
        set (training/flags.py, which takes the score for a percentage of correct rows). None: nothing is ever flagged.
        """
        return None

    def adapting(
        self, accelerator: Accelerator, encoder: PreTrainedModel, data: "TaskData", tokens: int
    ) -> AbstractContextManager[Mapping[str, list[float]]]:
        """Return a context manager around a whole training, which may freeze the encoder and add trainable weights.

        It yields measurements of the kind itself: a name, and values by hidden state. They are complete only when the
        block has ended.

        tokens: padded tokens in one batch of prediction.
        """
        return nullcontext({})


def load_task(options: dict[str, Any]) -> TrainedTask[Any]:
    """Return the task that the options describe."""
    task: TrainedTask[Any] = import_module(f"stiltwalk.tasks.{options['kind']}.head.task").Task(options)
    return task


def percent_correct(correct: Sequence[bool]) -> float:
    """Return the share of correct predictions, from 0 to 100."""
    return round(100 * float(np.mean(correct)), 4)


def most_frequent(values: list[Value]) -> Value:
    """Return the value that occurs most often; of several such values, the first in sorted order."""
    counts = Counter(values)
    return max(sorted(counts), key=counts.__getitem__)  # type: ignore[type-var]


def write_lines(lines: Iterable[object], path: Path) -> None:
    """Write one value per line."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
