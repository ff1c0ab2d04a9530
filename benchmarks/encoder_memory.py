"""Peak memory of training an encoder of a real shape, with random weights, on batches of 32 x 128 tokens.

    PYTHONPATH=src python benchmarks/encoder_memory.py [NAME ...]

Prints one line for each name of conf/encoder/ in SHAPES: millions of weights, and the peak memory
of the process in GiB. Only the embedding rows that occur are trained, as in every training here.
"""

import argparse
import multiprocessing
import resource
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from transformers import AutoConfig, AutoModel

from ours import SETTINGS
from stiltwalk.models.architecture import attention_of, prepare_languages
from stiltwalk.tasks.base_data.token_files import record_batch
from stiltwalk.tasks.pair.head.task import Task
from stiltwalk.training.accelerator import make_accelerator
from stiltwalk.training.batching import TokenizedRows
from stiltwalk.training.task_data import TaskData
from stiltwalk.training.trainer import Trainer

ROWS, TOKENS, STEPS = 32, 128, 3


def shape(vocabulary: int, layers: int, width: int, heads: int, inner: int, **more: Any) -> dict[str, Any]:
    """Return the arguments of a configuration."""
    return {
        "vocab_size": vocabulary,
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "max_position_embeddings": 514,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    } | more


DEBERTA = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 256, "share_att_key": True}
SHAPES = {
    "e5_small": ("bert", shape(250_037, 12, 384, 12, 1536)),
    "distilmbert": (
        "distilbert",
        shape(119_547, 6, 768, 12, 3072) | {"n_layers": 6, "dim": 768, "n_heads": 12, "hidden_dim": 3072},
    ),
    "mbert": ("bert", shape(119_547, 12, 768, 12, 3072)),
    "mmbert_small": ("modernbert", shape(256_000, 22, 384, 6, 1152)),
    "mmbert_base": ("modernbert", shape(256_000, 22, 768, 12, 1152)),
    "xlmr_base": ("xlm-roberta", shape(250_002, 12, 768, 12, 3072, type_vocab_size=1)),
    "mdeberta_v3_base": (
        "deberta-v2",
        shape(251_000, 12, 768, 12, 3072, type_vocab_size=0, position_biased_input=False, **DEBERTA),
    ),
    "eurobert_210m": ("eurobert", shape(128_256, 12, 768, 12, 3072, num_key_value_heads=12)),
    "labse": ("bert", shape(501_153, 12, 768, 12, 3072)),
    "rembert": ("rembert", shape(250_300, 32, 1152, 18, 4608, input_embedding_size=256)),
    "xlmr_large": ("xlm-roberta", shape(250_002, 24, 1024, 16, 4096, type_vocab_size=1)),
}


def measure(name: str) -> None:
    """Train a few steps in this process, and print what it took."""
    model_type, options = SHAPES[name]
    config = AutoConfig.for_model(model_type, **options)
    rng = np.random.default_rng(0)
    ids = [rng.integers(4, config.vocab_size, TOKENS).tolist() for _ in range(ROWS)]
    rows = TokenizedRows(record_batch({"input_ids": ids, "labels": rng.integers(0, 2, ROWS).tolist()}))
    table = pa.table({"text_a": ["", ""], "text_b": ["", ""], "label": ["0", "0"]})
    data = {"pair": TaskData(Task({"labels": ["0", "1"]}), rows, table, rows.take(range(2)))}
    settings = replace(
        SETTINGS, epochs=STEPS, batch_size=ROWS, micro_batch_tokens=ROWS * TOKENS, evaluations=1, mixed_precision="bf16"
    )
    encoder = AutoModel.from_config(config, attn_implementation=attention_of(config, settings.attention))
    prepare_languages(encoder)
    with make_accelerator(settings) as accelerator:
        Trainer(accelerator, encoder, data, settings, 0, name).train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name:18}{encoder.num_parameters() / 1e6:8,.0f} M weights{peak:8.1f} GiB", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(SHAPES), help=f"of {', '.join(SHAPES)}")
    context = multiprocessing.get_context("spawn")
    for chosen in parser.parse_args().names:
        process = context.Process(target=measure, args=[chosen])
        process.start()
        process.join()
