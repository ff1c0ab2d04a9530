"""How fast this machine trains an encoder: a few steps of the project's own loop, with random weights.

    python src/study/calibrate.py < '{"encoder": {...}, "training": {...}}'     (blocks of params.yaml)

Prints one line of JSON: tokens a second, and the number of weights.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import pyarrow as pa
from transformers import AutoConfig, AutoModel, PreTrainedConfig, XLMRobertaConfig

from stiltwalk.tasks.pair.head import Kind
from stiltwalk.tasks.tables import schema
from stiltwalk.tasks.tokenized_files import record_batch
from stiltwalk.training.batching import Encoded
from stiltwalk.training.settings import Settings
from stiltwalk.training.trainer import Data, accelerating, train

LENGTHS = (15, 60)  # tokens a row
SECONDS = 8


def architecture(encoder: dict[str, Any]) -> PreTrainedConfig:
    """Of the `encoder` block: the generated world's, or what its name on the hub says."""
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


def main() -> None:
    spec = json.loads(sys.stdin.read())
    config = architecture(spec["encoder"])
    rng = np.random.default_rng(0)
    ids = [rng.integers(4, config.vocab_size, int(n)).tolist() for n in rng.integers(*LENGTHS, 4096)]
    rows = Encoded(record_batch({"input_ids": ids, "labels": rng.integers(0, 2, len(ids)).tolist()}))
    table = pa.Table.from_pylist([{"text_a": "", "text_b": "", "label": "0"}] * 2, schema("pair"))
    data = {"pair": Data(Kind({"labels": ["0", "1"]}), rows, table, rows.take(range(2)))}
    batch = spec["training"]["batch_size"]

    def timed(steps: int) -> tuple[float, int]:
        settings = Settings.read(spec["training"] | {"epochs": steps * batch / len(rows), "evaluations": 1})
        encoder = AutoModel.from_config(config, attn_implementation=settings.attention)
        with accelerating(settings) as accelerator:
            begun = time.perf_counter()
            train(accelerator, encoder, data, settings, 0, "calibration")
            return time.perf_counter() - begun, encoder.num_parameters()

    timed(2)
    steps = 4
    seconds, weights = timed(steps)
    while seconds < SECONDS / 2 and steps < 1000:
        steps = min(4 * steps, max(2 * steps, round(steps * SECONDS / seconds)))
        seconds, weights = timed(steps)
    rate = round(steps * batch * rows.lengths.mean() / seconds)
    print(json.dumps({"tokens_per_s": rate, "weights": weights}))


if __name__ == "__main__":
    os.environ["TQDM_DISABLE"] = "1"
    main()
