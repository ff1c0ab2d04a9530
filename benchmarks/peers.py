"""What people would use instead: the Trainer of transformers, and prediction as in XTREME's scripts."""

import tempfile
from typing import Any

import numpy as np
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments, XLMRobertaForSequenceClassification

from clock import Clock
from ours import BATCH, encoder_config
from rows import SOURCES
from stiltwalk.training.batching import TokenizedRows
from workers import Measurement, Request

Row = dict[str, Any]


class RowsDataset(torch.utils.data.Dataset[Row]):
    """Rows as the Trainer takes them."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]


class Collator:
    """Pads batches, and lists the number of real tokens of each.

    width: tokens to pad to; None pads to the longest row of the batch.
    """

    def __init__(self, width: int | None) -> None:
        self.width = width
        self.tokens: list[int] = []

    def __call__(self, rows: list[Row]) -> dict[str, torch.Tensor]:
        self.tokens.append(sum(len(row["input_ids"]) for row in rows))
        width = self.width or max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), width), 1)
        for i, row in enumerate(rows):
            ids[i, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
        labels = torch.tensor([row["labels"] for row in rows])
        return {"input_ids": ids, "attention_mask": (ids != 1).long(), "labels": labels}


class StepClock(TrainerCallback):
    """Starts the clock after the first step and stops it after the last."""

    def __init__(self) -> None:
        self.clock = Clock()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called by the Trainer after every step."""
        if state.global_step == 1:
            self.clock.start()
        if state.global_step == state.max_steps:
            self.clock.stop()


def measure_trainer(tokenized: TokenizedRows, request: Request) -> Measurement:
    """Measure the Trainer of transformers with its defaults, in float32 or with autocast, without the first step."""
    torch.manual_seed(0)
    model = XLMRobertaForSequenceClassification(encoder_config(request.width))
    labels = tokenized.columns["labels"].values.tolist()
    rows = [
        {"input_ids": ids.tolist(), "labels": label}
        for ids, label in zip(tokenized.lists("input_ids"), labels, strict=True)
    ]
    rng = np.random.default_rng(request.seed)
    rows = [rows[i] for i in rng.permutation(len(rows))[: (request.steps + 1) * BATCH]]
    passes = BATCH // rows_per_pass(request, training=True)
    collator = Collator(SOURCES[request.rows].max_length if request.method == "trainer max length" else None)
    clock = StepClock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=BATCH // passes,
            gradient_accumulation_steps=passes,
            num_train_epochs=1,
            train_sampling_strategy="group_by_length" if request.method == "trainer by length" else "random",
            save_strategy="no",
            logging_strategy="no",
            bf16=request.precision == "bf16",
            use_cpu=not torch.cuda.is_available(),  # without it bf16 is refused on a CPU
            report_to=[],
            disable_tqdm=True,
        )
        dataset = RowsDataset(rows)
        Trainer(model, arguments, train_dataset=dataset, data_collator=collator, callbacks=[clock]).train()
    return clock.clock.report(sum(collator.tokens[passes:]))  # the first step does not count


def measure_padded(tokenized: TokenizedRows, request: Request) -> Measurement:
    """Measure prediction as in XTREME's scripts: a few rows at a time, in order, padded to the maximum, in float32."""
    model = XLMRobertaForSequenceClassification(encoder_config(request.width)).eval()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)  # type: ignore[arg-type]
    collator = Collator(SOURCES[request.rows].max_length)
    chosen = tokenized.take(range(request.steps * BATCH))
    rows = [{"input_ids": ids.tolist(), "labels": 0} for ids in chosen.lists("input_ids")]
    size = rows_per_pass(request, training=False)
    batches = [collator(rows[i : i + size]) for i in range(0, len(rows), size)]
    with torch.no_grad():
        model(**{name: value[:1].to(device) for name, value in batches[0].items()})
        with Clock() as clock:
            for batch in batches:
                model(**{name: value.to(device) for name, value in batch.items()}).logits.cpu()
    return clock.report(sum(collator.tokens))


def rows_per_pass(request: Request, training: bool) -> int:
    """Return the rows of one pass: a batch, except that long rows on a CPU are as few as in XTREME's run_squad.py."""
    if request.rows == "nli" or torch.cuda.is_available():
        return BATCH
    return 4 if training else 8
