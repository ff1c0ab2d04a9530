"""Sentence retrieval (Tatoeba): the nearest sentence of the other language, without any training.

As in XTREME's third_party/evaluate_retrieval.py, the queries are the English sentences and the index holds those of the
other language.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from accelerate import Accelerator
from transformers import PreTrainedModel

from stiltwalk.tasks.base_search import RetrievalTask
from stiltwalk.training.batching import TokenizedRows


class Task(RetrievalTask[int]):
    """A match is the row of the nearest sentence, one for every English sentence."""

    def search(
        self,
        accelerator: Accelerator,
        encoder: PreTrainedModel,
        table: pa.Table,
        data: Path,
        language: str,
        max_tokens: int,
    ) -> tuple[list[int], dict[str, Any]]:
        """Return the row of the nearest sentence in the other language for every English sentence; no facts."""
        pairs = TokenizedRows.read(data / f"test-{language}.arrow")
        (matches,) = self.nearest(accelerator, encoder, pairs, language, max_tokens, [self.hidden_state(encoder)])
        return matches, {}

    def nearest(
        self,
        accelerator: Accelerator,
        encoder: PreTrainedModel,
        pairs: TokenizedRows,
        language: str,
        max_tokens: int,
        hidden_states: Sequence[int],
    ) -> list[list[int]]:
        """Return the matches by each of these hidden states. One forward pass serves all of them."""
        vectors = self.embedder.embed(accelerator, encoder, pairs, max_tokens, hidden_states, (language, "en"))
        other, english = vectors[:, ::2], vectors[:, 1::2]
        return [(queries @ index.T).argmax(-1).tolist() for queries, index in zip(english, other, strict=True)]

    def write_predictions(self, predictions: list[int], table: pa.Table, path: Path) -> None:
        """Write one row number per line, as in XTREME's Tatoeba submissions."""
        path.write_text("".join(f"{row}\n" for row in predictions), encoding="utf-8")
