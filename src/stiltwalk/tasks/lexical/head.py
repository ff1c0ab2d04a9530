"""Targeted lexical injection: translation word pairs pulled together in one early layer (arXiv 2506.15415).

Only LoRA weights of that layer are trained, by a contrastive loss over the pairs of a batch; they are merged into the
encoder at the end of the step, so that what goes on is an encoder as any other.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from accelerate import Accelerator
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

from stiltwalk.models.sentence_vectors import Embedder
from stiltwalk.training.batching import Encoded
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.stage import whole_folder

SUFFIX = "tsv"


class Head(nn.Module):
    """The mean over a word's tokens of the hidden state `layer`, as a unit vector; no weights."""

    def __init__(self, layer: int):
        super().__init__()
        self.layer = layer

    def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Hidden states (words x tokens x width) -> unit vectors (words x width)."""
        mask = attention_mask.unsqueeze(-1)
        return functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)


class Kind:
    """options: layer (from 1), rank and alpha (LoRA's), temperature (of the softmax over the pairs)."""

    def __init__(self, options: dict[str, Any]):
        self.layer: int = options["layer"]
        self.rank: int = options["rank"]
        self.alpha: int = options["alpha"]
        self.temperature: float = options["temperature"]
        self.embedder = Embedder(options | {"depth": 1.0, "pooling": "mean"})

    @contextlib.contextmanager
    def injecting(
        self, accelerator: Accelerator, encoder: PreTrainedModel, pairs: dict[str, Encoded], tokens: int, folder: Path
    ) -> Iterator[None]:
        """LoRA weights in one layer's attention for the block, everything else frozen; at its end they are merged.

        The mean cosine of each set of pairs at every hidden state, before and after, goes to
        `folder/<name>-{before,after}.csv`.
        """
        if not 1 <= self.layer <= encoder.config.num_hidden_layers:
            raise InputError(
                f"params.yaml: kinds.lexical.layer is {self.layer}; the encoder has layers 1 to "
                f"{encoder.config.num_hidden_layers}"
            )
        encoder.to(accelerator.device)  # type: ignore[arg-type]
        found = {f"{name}-before": self.cosines(accelerator, encoder, rows, tokens) for name, rows in pairs.items()}
        attention = f"encoder.layer.{self.layer - 1}.attention"
        targets = [f"{attention}.{name}" for name in ("self.query", "self.key", "self.value", "output.dense")]
        inject_adapter_in_model(LoraConfig(r=self.rank, lora_alpha=self.alpha, target_modules=targets), encoder)
        yield
        for name in targets:
            adapted: Any = encoder.get_submodule(name)
            adapted.merge()
            parent, _, child = name.rpartition(".")
            setattr(encoder.get_submodule(parent), child, adapted.get_base_layer())
        encoder.requires_grad_(True)
        found |= {f"{name}-after": self.cosines(accelerator, encoder, rows, tokens) for name, rows in pairs.items()}
        if accelerator.is_main_process:
            with whole_folder(folder) as out:
                for name, cosines in found.items():
                    rows = "".join(f"{layer},{cosine}\n" for layer, cosine in enumerate(cosines))
                    (out / f"{name}.csv").write_text(f"layer,score\n{rows}", encoding="utf-8")

    def head(self, encoder: PreTrainedModel, dropout: float) -> nn.Module:
        return Head(self.layer)

    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Cross entropy of each word's partner among the batch's (InfoNCE), mean of both ways, summed over pairs."""
        source, target = logits[::2], logits[1::2]
        similarities = source @ target.T / self.temperature
        own = torch.arange(len(source), device=logits.device)
        return sum(functional.cross_entropy(s, own, reduction="sum") for s in (similarities, similarities.T)) / 2  # type: ignore[return-value]

    def decode(self, logits: list[np.ndarray], encoded: Encoded, table: pa.Table) -> list[float]:
        """The cosine of every pair."""
        return [float(row[: len(row) // 2] @ row[len(row) // 2 :]) for row in logits]

    def guess(self, table: pa.Table) -> list[Any] | None:
        """None: no guess is as good as any."""
        return None

    def evaluate(self, predictions: list[float], table: pa.Table) -> dict[str, float]:
        return {"cosine": round(100 * float(np.mean(predictions)), 4)}

    def write(self, predictions: list[float], table: pa.Table, path: Path) -> None:
        """The cosine, a line a pair."""
        path.write_text("".join(f"{cosine:.6f}\n" for cosine in predictions), encoding="utf-8")

    def cosines(self, accelerator: Accelerator, encoder: PreTrainedModel, pairs: Encoded, tokens: int) -> list[float]:
        """The mean cosine (times 100) of the pairs at every hidden state, the embeddings' first."""
        layers = range(encoder.config.num_hidden_layers + 1)
        vectors = self.embedder.embed(accelerator, encoder, pairs, tokens, layers)
        return [round(100 * float((one[::2] * one[1::2]).sum(-1).mean()), 4) for one in vectors]
