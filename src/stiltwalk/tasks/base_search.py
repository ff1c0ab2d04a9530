"""Base class of the kinds of task that search with sentence vectors: nothing is trained."""

from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pyarrow as pa
from accelerate import Accelerator
from transformers import PreTrainedModel

from stiltwalk.models.sentence_vectors import SentenceEmbedder

Match = TypeVar("Match")


class RetrievalTask(ABC, Generic[Match]):
    """A search among the sentences of two languages.

    options: depth (the hidden state to read, as a share of the layers) and pooling, as in SentenceEmbedder.
    """

    suffix: ClassVar[str] = "tsv"
    """Suffix of the files with predictions."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.embedder = SentenceEmbedder(options["kind"], options["depth"], options["pooling"])

    def hidden_state(self, encoder: PreTrainedModel) -> int:
        """Return the hidden state that the search reads; 0 is the embeddings'."""
        return self.embedder.hidden_state(encoder)

    @abstractmethod
    def search(
        self,
        accelerator: Accelerator,
        encoder: PreTrainedModel,
        table: pa.Table,
        data: Path,
        language: str,
        max_tokens: int,
    ) -> tuple[list[Match], dict[str, Any]]:
        """Return the matches of one language, and facts for the target's record.

        table: the rows to search. data: the folder of the target's rows and their token ids.
        max_tokens: padded tokens in one batch of prediction.
        """

    @abstractmethod
    def write_predictions(self, predictions: list[Match], table: pa.Table, path: Path) -> None:
        """Write the matches in the format of XTREME's submissions."""


def load_search(options: dict[str, Any]) -> RetrievalTask[Any]:
    """Return the task that the options describe."""
    task: RetrievalTask[Any] = import_module(f"stiltwalk.tasks.{options['kind']}.search.task").Task(options)
    return task
