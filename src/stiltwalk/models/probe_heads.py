"""Probe heads: what is kept of every step beside its encoder, so that later encoders can be scored on its tasks again.

    probe_heads/index.json                                      the steps so far, in the order of training
    probe_heads/<step>/<task>/task.json                         the task's options and its flag
                              head.safetensors                  the weights of its head
                              validation.{parquet,arrow}        its validation rows, and their token ids

Scoring an encoder needs no file outside this folder.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file

from stiltwalk.training.batching import TokenizedRows
from stiltwalk.utils.files import read_json, write_json
from stiltwalk.utils.tables import read_table

INDEX = "index.json"
TASK, WEIGHTS = "task.json", "head.safetensors"
ROWS, TOKENS = "validation.parquet", "validation.arrow"


@dataclass(frozen=True)
class ProbeHead:
    """What is kept of one task of one step. Files are read when they are first asked for."""

    step: str
    task: str
    folder: Path

    @cached_property
    def _task(self) -> dict[str, Any]:
        task: dict[str, Any] = read_json(self.folder / TASK)
        return task

    @property
    def options(self) -> dict[str, Any]:
        """The task's options."""
        options: dict[str, Any] = self._task["options"]
        return options

    @property
    def flag(self) -> str:
        """What is wrong with the task's training, or an empty string."""
        return str(self._task["flag"])

    @cached_property
    def weights(self) -> dict[str, torch.Tensor]:
        """The state dict of the task's head."""
        return load_file(self.folder / WEIGHTS)

    @cached_property
    def rows(self) -> pa.Table:
        """The validation rows."""
        return read_table(self.folder / ROWS)

    @cached_property
    def tokens(self) -> TokenizedRows:
        """The tokenized validation rows, mapped into memory."""
        return TokenizedRows.read(self.folder / TOKENS)


def copy_probe_heads(source: Path, folder: Path) -> None:
    """Copy the previous step's probe heads to the new checkpoint, where `save_probe_head` adds to them."""
    shutil.copytree(source, folder)


def save_probe_head(
    folder: Path,
    step: str,
    task: str,
    options: dict[str, Any],
    flag: str,
    head_weights: Mapping[str, torch.Tensor],
    data: Path,
) -> None:
    """Add a task of a step to the folder, and the step to its index.

    flag: what is wrong with the task's training, or an empty string.
    data: the folder of the task's rows and their token ids, which have a split `validation`.
    """
    place = folder / step / task
    place.mkdir(parents=True)
    write_json({"options": options, "flag": flag}, place / TASK)
    weights = {name: weight.detach().cpu().contiguous() for name, weight in head_weights.items()}
    save_file(weights, place / WEIGHTS)
    for name in (ROWS, TOKENS):
        shutil.copyfile(data / name, place / name)
    steps = read_index(folder)
    if step not in steps:
        write_json([*steps, step], folder / INDEX)


def read_index(folder: Path) -> list[str]:
    """Return the steps in the folder, in the order of training."""
    steps: list[str] = read_json(folder / INDEX)
    return steps


def read_probe_heads(folder: Path) -> list[ProbeHead]:
    """Return what is kept of every task, step by step in the order of training, and by name within a step."""
    return [
        ProbeHead(step, place.name, place) for step in read_index(folder) for place in sorted((folder / step).iterdir())
    ]
