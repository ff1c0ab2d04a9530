"""Measure how fast this machine trains an encoder: a few steps of the project's own trainer, with random weights.

    PYTHONPATH=src python -m stiltwalk.sweep.calibrate < spec.json

The specification holds the blocks `encoder` and `training` of params.yaml.
Prints one line of JSON: tokens per second, and the number of weights.
"""

import json
import sys
import time
from typing import Any

import numpy as np
import pyarrow as pa
from transformers import AutoConfig, AutoModel, PreTrainedConfig, XLMRobertaConfig

from stiltwalk.models.architecture import attention_of, check_is_encoder, prepare_languages
from stiltwalk.tasks.base_data.token_files import record_batch
from stiltwalk.tasks.pair.head.task import Task
from stiltwalk.training.accelerator import make_accelerator
from stiltwalk.training.batching import TokenizedRows
from stiltwalk.training.settings import Settings
from stiltwalk.training.task_data import TaskData
from stiltwalk.training.trainer import Trainer

LENGTHS = (15, 60)  # tokens per row
SECONDS = 8


def architecture(encoder: dict[str, Any]) -> PreTrainedConfig:
    """Return the architecture of the block `encoder`: the generated world's, or that of its name on the hub."""
    if encoder["source"] == "hub":
        return AutoConfig.from_pretrained(encoder["path"], revision=encoder["revision"], trust_remote_code=False)
    return XLMRobertaConfig(
        vocab_size=1000,
        hidden_size=encoder["hidden_size"],
        num_hidden_layers=encoder["layers"],
        num_attention_heads=encoder["heads"],
        intermediate_size=encoder["intermediate_size"],
        max_position_embeddings=encoder["max_length"] + 2,
        type_vocab_size=1,
        pad_token_id=1,
    )


def random_rows(vocabulary: int) -> TokenizedRows:
    """Return 4,096 labelled rows of random tokens."""
    rng = np.random.default_rng(0)
    ids = [rng.integers(4, vocabulary, int(length)).tolist() for length in rng.integers(*LENGTHS, 4096)]
    return TokenizedRows(record_batch({"input_ids": ids, "labels": rng.integers(0, 2, len(ids)).tolist()}))


def time_training(spec: dict[str, Any], config: PreTrainedConfig, rows: TokenizedRows, steps: int) -> tuple[float, int]:
    """Return the seconds of so many steps, and the number of weights."""
    epochs = steps * spec["training"]["batch_size"] / len(rows)
    settings = Settings.read(spec["training"] | {"epochs": epochs, "evaluations": 1})
    table = pa.table({"text_a": ["", ""], "text_b": ["", ""], "label": ["0", "0"]})
    data = {"pair": TaskData(Task({"labels": ["0", "1"]}), rows, table, rows.take(range(2)))}
    check_is_encoder(config)
    encoder = AutoModel.from_config(config, attn_implementation=attention_of(config, settings.attention))
    prepare_languages(encoder)
    with make_accelerator(settings) as accelerator:
        start = time.perf_counter()
        Trainer(accelerator, encoder, data, settings, 0, "calibration").train()
        return time.perf_counter() - start, encoder.num_parameters()


def main() -> None:
    spec = json.loads(sys.stdin.read())
    config = architecture(spec["encoder"])
    rows = random_rows(config.vocab_size)
    time_training(spec, config, rows, 2)  # warm-up
    steps = 4
    seconds, weights = time_training(spec, config, rows, steps)
    while seconds < SECONDS / 2 and steps < 1000:
        steps = min(4 * steps, max(2 * steps, round(steps * SECONDS / seconds)))
        seconds, weights = time_training(spec, config, rows, steps)
    rate = round(steps * spec["training"]["batch_size"] * rows.lengths.mean() / seconds)
    print(json.dumps({"tokens_per_s": rate, "weights": weights}))


if __name__ == "__main__":
    main()
