"""What is kept of every step beside its encoder: each task's options, head and validation rows.

With them a later encoder is evaluated on the task again, without the task's own data (src/probe.py).
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from stiltwalk.utils.stage import write_json

OPTIONS, HEAD = "task.json", "head.safetensors"
ROWS = ("validation.parquet", "validation.arrow")  # as data and encoded


def keep_task(
    folder: Path, options: dict[str, Any], head: Mapping[str, torch.Tensor], rows: Path, encoded: Path
) -> None:
    """Write a task's options, its head's weights and its validation rows to a folder of their own."""
    folder.mkdir(parents=True)
    write_json(options, folder / OPTIONS)
    save_file({name: value.detach().cpu().contiguous() for name, value in head.items()}, folder / HEAD)
    for place, name in zip((rows, encoded), ROWS, strict=True):
        shutil.copyfile(place / name, folder / name)
