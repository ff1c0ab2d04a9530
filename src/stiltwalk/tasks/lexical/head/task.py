"""Targeted lexical injection: pull translation word pairs together in one early layer (arXiv 2506.15415).

Only LoRA weights of that layer are trained, by a contrastive loss over the pairs of a micro-batch. At the end of the
step they are merged into the encoder, which then has the same architecture as before.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from accelerate import Accelerator
from peft import LoraConfig, inject_adapter_in_model
from torch.nn import functional
from transformers import PreTrainedModel

from stiltwalk.models.architecture import attention_linears, find_layers
from stiltwalk.models.sentence_vectors import SentenceEmbedder
from stiltwalk.tasks.base_head import TaskHead, TrainedTask, write_lines
from stiltwalk.training.batching import TokenizedRows
from stiltwalk.utils.errors import InputError

if TYPE_CHECKING:
    from stiltwalk.training.task_data import TaskData


class Head(TaskHead):
    """The mean over a word's tokens of one hidden state, as a unit vector; no weights."""

    def __init__(self, hidden_state: int) -> None:
        super().__init__()
        self.hidden_state = hidden_state

    def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Hidden states (words x tokens x width) to unit vectors (words x width)."""
        mask = attention_mask.unsqueeze(-1)
        return functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)


class Task(TrainedTask[float]):
    """A prediction is the cosine of a pair.

    options: layer (counted from 1), rank and alpha (of LoRA), temperature (of the softmax over the pairs of a
    micro-batch).
    """

    freezes_encoder = True

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.layer: int = options["layer"]
        self.rank: int = options["rank"]
        self.alpha: int = options["alpha"]
        self.temperature: float = options["temperature"]
        self.embedder = SentenceEmbedder(options["kind"], depth=1.0, pooling="mean")

    @contextlib.contextmanager
    def adapting(
        self, accelerator: Accelerator, encoder: PreTrainedModel, data: "TaskData", tokens: int
    ) -> Iterator[dict[str, list[float]]]:
        """Context manager that freezes the encoder but for LoRA weights in one layer, and merges these at its end.

        It yields the mean cosines (times 100) at every hidden state, before and after, of the training pairs (`seen`)
        and the validation pairs (`unseen`): `seen-before`, `unseen-before`, `seen-after`, `unseen-after`.

        Raises InputError if the encoder has no such layer.
        """
        layers = encoder.config.num_hidden_layers
        if not 1 <= self.layer <= layers:
            raise InputError(
                f"params.yaml: kinds.lexical.layer is {self.layer}; it must be from 1 to {layers}, the encoder's layers"
            )
        encoder.to(accelerator.device)  # type: ignore[arg-type]
        pairs = {"seen": data.train, "unseen": data.validation}
        cosines: dict[str, list[float]] = {}
        for name, rows in pairs.items():
            cosines[f"{name}-before"] = self.cosines(accelerator, encoder, rows, tokens)
        modules = self._adapted_modules(encoder)
        inject_adapter_in_model(LoraConfig(r=self.rank, lora_alpha=self.alpha, target_modules=modules), encoder)
        yield cosines
        _merge_adapters(encoder, modules)
        encoder.requires_grad_(True)
        for name, rows in pairs.items():
            cosines[f"{name}-after"] = self.cosines(accelerator, encoder, rows, tokens)

    def _adapted_modules(self, encoder: PreTrainedModel) -> list[str]:
        """Return the paths of the linear layers that get LoRA weights: those of the layer's attention."""
        found = find_layers(encoder)
        names = attention_linears(found[1][self.layer - 1]) if found else []
        if not found or not names:
            raise InputError(
                f"the attention of a {encoder.config.model_type} is not known, which kinds.lexical adapts; use another "
                "encoder, or leave out the task"
            )
        return [f"{found[0]}.{self.layer - 1}.{name}" for name in names]

    def make_head(self, encoder: PreTrainedModel, dropout: float) -> TaskHead:
        """Return a head that reads the output of the adapted layer."""
        return Head(self.layer)

    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return InfoNCE: the cross entropy of each word's partner among all partners in the micro-batch.

        A batch that is split by memory or among processes has fewer partners to choose from.

        logits: unit vectors, the source and the target of each pair in turn. The result is the mean of both directions,
        summed over pairs.
        """
        source, target = logits[::2], logits[1::2]
        similarities = source @ target.T / self.temperature
        partners = torch.arange(len(source), device=logits.device)
        to_target = functional.cross_entropy(similarities, partners, reduction="sum")
        to_source = functional.cross_entropy(similarities.T, partners, reduction="sum")
        return (to_target + to_source) / 2

    def decode(self, logits: list[np.ndarray], rows: TokenizedRows, table: pa.Table) -> list[float]:
        """Return the cosine of every pair."""
        return [float(pair[: len(pair) // 2] @ pair[len(pair) // 2 :]) for pair in logits]

    def evaluate(self, predictions: list[float], table: pa.Table) -> dict[str, float]:
        """Return the mean cosine, times 100."""
        return {"cosine": round(100 * float(np.mean(predictions)), 4)}

    def write_predictions(self, predictions: list[float], table: pa.Table, path: Path) -> None:
        """Write one cosine per line."""
        write_lines((f"{cosine:.6f}" for cosine in predictions), path)

    def cosines(
        self, accelerator: Accelerator, encoder: PreTrainedModel, pairs: TokenizedRows, tokens: int
    ) -> list[float]:
        """Return the mean cosine (times 100) of the pairs at every hidden state, the embeddings' first."""
        hidden_states = range(encoder.config.num_hidden_layers + 1)
        vectors = self.embedder.embed(accelerator, encoder, pairs, tokens, hidden_states)
        return [round(100 * float((state[::2] * state[1::2]).sum(-1).mean()), 4) for state in vectors]


def _merge_adapters(encoder: PreTrainedModel, modules: Sequence[str]) -> None:
    """Merge the LoRA weights of these modules into the linear layers that they adapt, and put those back."""
    for name in modules:
        adapted: Any = encoder.get_submodule(name)
        adapted.merge()
        parent, _, child = name.rpartition(".")
        setattr(encoder.get_submodule(parent), child, adapted.get_base_layer())
