"""Predict with a model, and evaluate it on validation rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from stiltwalk.models.multitask import MultiTaskModel
from stiltwalk.perf.bf16_inference import inference_forward
from stiltwalk.tasks.base_head import TrainedTask
from stiltwalk.training.batching import TokenizedRows, token_batches
from stiltwalk.training.flags import flag
from stiltwalk.training.memory import out_of_memory_hint
from stiltwalk.training.settings import PredictionSettings
from stiltwalk.training.task_data import TaskData

PART = 16_384  # rows of the data that are predicted at a time; the logits of all of them might not fit into memory

Scores = dict[str, dict[str, float]]
"""Scores by task and metric, from 0 to 100, the main metric first."""
Flags = dict[str, str]
"""What is wrong, by task; only tasks with which something is."""


def evaluate(
    accelerator: Accelerator, model: MultiTaskModel, data: Mapping[str, TaskData], settings: PredictionSettings
) -> tuple[Scores, Flags]:
    """Return the scores of every task on its validation rows, and the flags of the tasks that were not learned."""
    scores, flags = {}, {}
    for name, task_data in data.items():
        task, table = task_data.task, task_data.validation_table
        predictions = predict(accelerator, model, name, task, task_data.validation, table, settings)
        scores[name] = task.evaluate(predictions, table)
        main_score = next(iter(scores[name].values()))
        if problem := flag(task, predictions, table, main_score):
            flags[name] = problem
    return scores, flags


def predict(
    accelerator: Accelerator,
    model: MultiTaskModel,
    name: str,
    task: TrainedTask[Any],
    rows: TokenizedRows,
    table: pa.Table,
    settings: PredictionSettings,
) -> list[Any]:
    """Return the task's prediction for every row of the table, on every process.

    name: of the head to use. rows: the rows of the table, tokenized.
    """
    predictions: list[Any] = []
    for part, first in rows.parts(len(table), PART):
        logits = logits_of(accelerator, model, name, part, settings)
        predictions += task.decode(logits, part, table.slice(first, PART))
    return predictions


def logits_of(
    accelerator: Accelerator, model: MultiTaskModel, name: str, rows: TokenizedRows, settings: PredictionSettings
) -> list[np.ndarray]:
    """Return the logits of every row, in the order of the rows, on every process.

    The logits of a row are its tokens x outputs, without padding; its masked tokens x outputs, if it has an `mlm_mask`;
    or, if the head gives one vector per sequence, those of its sequences one after the other.
    """
    results: list[tuple[int, np.ndarray]] = []
    batches = token_batches(rows.padded_lengths(1), settings.prediction_tokens, level=True)
    # FSDP gathers weights in every pass, so all processes need the same number of passes.
    batches += batches[-1:] * (-len(batches) % accelerator.num_processes)
    with (
        inference_forward(accelerator, model) as forward,
        out_of_memory_hint("prediction_tokens", settings),
    ):
        for indices in batches[accelerator.process_index :: accelerator.num_processes]:
            batch = rows.tensors(indices, model.encoder.config.pad_token_id, accelerator.device)
            logits = forward(name, batch["input_ids"], batch["attention_mask"], batch.get("mlm_mask"))
            results += zip(indices.tolist(), split_logits(logits, batch, rows.lengths[indices]), strict=True)
    by_row = dict(gather_object(results))
    return [by_row[row] for row in range(len(rows))]


def split_logits(logits: torch.Tensor, batch: Mapping[str, torch.Tensor], lengths: np.ndarray) -> list[np.ndarray]:
    """Return the logits of each row of a batch, in float32 and without padding.

    lengths: the number of tokens in each row.
    """
    values: np.ndarray = logits.float().cpu().numpy()
    if "mlm_mask" in batch:
        return np.split(values, batch["mlm_mask"].sum(1).cumsum(0)[:-1].cpu().numpy())
    if logits.dim() == 3:
        return [tokens[:length] for tokens, length in zip(values, lengths, strict=True)]
    return list(values.reshape(len(lengths), -1))  # a row may hold several sequences
