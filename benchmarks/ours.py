"""Stiltwalk's training and prediction on a random encoder."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from transformers import XLMRobertaConfig, XLMRobertaModel

from clock import Clock
from rows import VOCABULARY
from stiltwalk.models.multitask import MultiTaskModel
from stiltwalk.tasks.pair.head import task as pair
from stiltwalk.training.accelerator import make_accelerator
from stiltwalk.training.batching import TokenizedRows
from stiltwalk.training.evaluation import predict
from stiltwalk.training.settings import Settings
from stiltwalk.training.task_data import TaskData
from stiltwalk.training.trainer import Trainer
from workers import Measurement, Request

BATCH = 32
SETTINGS = Settings(
    epochs=1,
    batch_size=BATCH,
    micro_batch_tokens=8192 if torch.cuda.is_available() else 1536,  # as at the scales base and small
    learning_rate=1e-5,
    warmup=0.1,
    weight_decay=0.01,
    max_grad_norm=1.0,
    dropout=None,
    attention="sdpa",
    mixed_precision="no",
    gradient_checkpointing=False,
    cuda_graphs=True,
    threads=None,
    evaluations=1,
    keep="last",
    prediction_tokens=16384 if torch.cuda.is_available() else 4096,
    retries=0,
    sampler="proportional",
    cap=1,
    temperature=1.0,
)


OPTIONS = {"kind": "pair", "labels": ["0", "1"]}
PAIR_TASK = pair.Task(OPTIONS)
TWO_ROWS = pa.table({"label": PAIR_TASK.labels})  # validation rows that take no time


class CountedRows(TokenizedRows):
    """Rows that count the real tokens of the batches made from them."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        super().__init__(batch)
        self.tokens = 0

    def tensors(self, indices: Iterable[int], *arguments: Any, **options: Any) -> dict[str, torch.Tensor]:
        """Return rows as tensors, and count their tokens."""
        chosen = np.fromiter(indices, np.int64)
        self.tokens += int(self.lengths[chosen].sum())
        return super().tensors(chosen, *arguments, **options)


def encoder_config(width: int) -> XLMRobertaConfig:
    """Return 12 layers with XLM-R's vocabulary; 768 is XLM-R base, 384 multilingual MiniLM and E5 small."""
    return XLMRobertaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=4 * width,
        max_position_embeddings=514,
        type_vocab_size=1,
        pad_token_id=1,
    )


def measure_training(rows: TokenizedRows, request: Request) -> Measurement:
    """Measure a whole training, with everything that it prepares and restores."""
    settings = replace(
        SETTINGS,
        mixed_precision=request.precision,
        cuda_graphs=request.graphs,
        epochs=request.steps * BATCH / len(rows),
    )
    warm_up = replace(settings, epochs=BATCH / len(rows))
    torch.manual_seed(0)
    encoder = XLMRobertaModel(encoder_config(request.width), add_pooling_layer=False)
    task, validation, counted = PAIR_TASK, rows.take(range(2)), CountedRows(rows.batch)
    with make_accelerator(settings) as accelerator:
        data = {"rows": TaskData(task, rows, TWO_ROWS, validation)}
        Trainer(accelerator, encoder, data, warm_up, 0, "warm-up").train()
        data = {"rows": TaskData(task, counted, TWO_ROWS, validation)}
        with Clock() as clock:
            Trainer(accelerator, encoder, data, settings, 1, "measured").train()
    return clock.report(counted.tokens * accelerator.num_processes)  # processes have equal shares


def measure_prediction(rows: TokenizedRows, request: Request) -> Measurement:
    """Measure the prediction of `request.steps` batches of rows."""
    settings = replace(SETTINGS, mixed_precision=request.precision)
    encoder = XLMRobertaModel(encoder_config(request.width), add_pooling_layer=False)
    task = PAIR_TASK
    model = MultiTaskModel(encoder, {"rows": task.make_head(encoder, 0.1)})
    few, chosen = rows.take(range(4)), rows.take(range(request.steps * BATCH))
    with make_accelerator(settings) as accelerator:
        model = accelerator.prepare(model)
        predict(accelerator, model, "rows", task, few, TWO_ROWS, settings)
        with Clock() as clock:
            predict(accelerator, model, "rows", task, chosen, pa.table({"row": chosen.table_rows}), settings)
    return clock.report(int(chosen.lengths.sum()))
