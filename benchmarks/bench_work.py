"""Measurements of one way in a process of its own, so that peak memory and torch's settings are that way's alone.

python src/bench/work.py '{"way": "ours", ...}' prints one line of JSON. Without an argument it says in one that it is
ready, and then answers every line that it reads.
"""

import gc
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from transformers import (
    Trainer,
    TrainerCallback,
    TrainingArguments,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
    XLMRobertaModel,
)

from bench_rows import LIMITS, VOCABULARY, encoded
from stiltwalk.models.multitask import MultiTaskModel
from stiltwalk.tasks.mining.neighbours import nearest_neighbours, shortlist_size
from stiltwalk.tasks.pair import head as pair
from stiltwalk.training.batching import Encoded
from stiltwalk.training.settings import Settings
from stiltwalk.training.trainer import Data, accelerating, predict, train

BATCH = 32
SETTINGS = {
    "epochs": 1,
    "batch_size": BATCH,
    "micro_batch_tokens": 8192 if torch.cuda.is_available() else 1536,  # as at the scales base and small
    "learning_rate": 1e-5,
    "warmup": 0.1,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
    "dropout": None,
    "attention": "sdpa",
    "mixed_precision": "no",
    "gradient_checkpointing": False,
    "cuda_graphs": True,
    "threads": None,
    "evaluations": 1,
    "keep": "last",
    "prediction_tokens": 16384 if torch.cuda.is_available() else 4096,
    "retries": 0,
    "sampler": "proportional",
    "cap": 1,
    "temperature": 1.0,
}


class Whole(pair.Task):
    """Of questions: their heads read all tokens, where a pair's reads the first."""

    def make_head(self, encoder: Any, dropout: float) -> pair.TaskHead:
        head = super().make_head(encoder, dropout)
        head.reads_first_token_only = False
        return head


KIND = pair.Task({"labels": ["0", "1"]})
KINDS = {"nli": KIND, "qa": Whole({"labels": KIND.labels})}  # by what the rows are
TWO = pa.table({"label": KIND.labels})  # a validation that takes no time


class Clock:
    """Wall and CPU seconds of a block, and the real tokens that went through."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __enter__(self) -> "Clock":
        synchronize()
        self.wall, self.cpu = -time.perf_counter(), -time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        synchronize()
        self.wall += time.perf_counter()
        self.cpu += time.process_time()


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def config(width: int) -> XLMRobertaConfig:
    """12 layers of XLM-R's architecture and vocabulary; 768 is XLM-R base, 384 multilingual MiniLM and E5 small."""
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


def ours(rows: Encoded, spec: dict[str, Any]) -> dict[str, float]:
    """The project's own loop: a whole call of `train`, all that it prepares and writes back in the time."""
    count = spec["steps"] * BATCH
    block = SETTINGS | {"mixed_precision": spec["precision"], "cuda_graphs": spec.get("graphs", True)}
    settings = Settings.read(block | {"epochs": count / len(rows)})
    torch.manual_seed(0)
    encoder = XLMRobertaModel(config(spec["width"]), add_pooling_layer=False)
    data = {"rows": Data(KINDS[spec["rows"]], rows, TWO, rows.take(range(2)))}
    with accelerating(settings) as accelerator:
        warm = Settings.read(block | {"epochs": BATCH / len(rows)})
        train(accelerator, encoder, data, warm, 0, "warm-up")
        tokens = Counted(rows)
        data["rows"].train = tokens
        with Clock() as clock:
            train(accelerator, encoder, data, settings, 1, "measured")
    return report(clock, tokens.seen * accelerator.num_processes)  # each has an equal share


class Counted(Encoded):
    """Counts the real tokens that go into batches."""

    def __init__(self, other: Encoded):
        super().__init__(other.batch)
        self.seen = 0

    def tensors(self, indices: Any, *options: Any) -> dict[str, torch.Tensor]:
        self.seen += int(self.lengths[np.asarray(indices)].sum())
        return super().tensors(indices, *options)


def trainer(given: Encoded, spec: dict[str, Any]) -> dict[str, float]:
    """The Trainer of transformers as it comes, in float32 or told to autocast; the first step is not counted."""
    torch.manual_seed(0)
    model = XLMRobertaForSequenceClassification(config(spec["width"]))
    rows = [
        {"input_ids": ids.tolist(), "labels": label}
        for ids, label in zip(given.lists("input_ids"), given.columns["labels"].values.tolist(), strict=True)
    ]
    rng = np.random.default_rng(spec["seed"])
    rows = [rows[i] for i in rng.permutation(len(rows))[: (spec["steps"] + 1) * BATCH]]
    parts = BATCH // rows_a_pass(spec, training=True)
    padding: dict[str, Any] = {"padding": "max_length", "max_length": LIMITS[spec["rows"]]}
    collate = Collator(padding if spec["way"] == "trainer max length" else {"padding": True})
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=BATCH // parts,
            gradient_accumulation_steps=parts,
            num_train_epochs=1,
            train_sampling_strategy="group_by_length" if spec["way"] == "trainer by length" else "random",
            save_strategy="no",
            logging_strategy="no",
            bf16=spec["precision"] == "bf16",
            use_cpu=not torch.cuda.is_available(),  # what it asks for before it takes bf16 on a CPU
            report_to=[],
            disable_tqdm=True,
        )
        watch = Watch()
        Trainer(model, arguments, train_dataset=Rows(rows), data_collator=collate, callbacks=[watch]).train()
    return report(watch.clock, sum(collate.tokens[parts:]))  # the loader is a batch ahead of the steps


def rows_a_pass(spec: dict[str, Any], training: bool) -> int:
    """Of what people would use instead. Of long rows as few as in XTREME's run_squad.py, on a GPU whole batches."""
    if spec["rows"] == "nli" or torch.cuda.is_available():
        return BATCH
    return 4 if training else 8


class Rows(torch.utils.data.Dataset):
    def __init__(self, rows: list[dict[str, Any]]):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]


class Collator:
    """Pads a batch as told, and notes its real tokens."""

    def __init__(self, padding: dict[str, Any]):
        self.padding = padding
        self.tokens: list[int] = []

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        self.tokens.append(sum(len(row["input_ids"]) for row in rows))
        width = self.padding.get("max_length") or max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), width), 1)
        for i, row in enumerate(rows):
            ids[i, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
        labels = torch.tensor([row["labels"] for row in rows])
        return {"input_ids": ids, "attention_mask": (ids != 1).long(), "labels": labels}


class Watch(TrainerCallback):
    """Starts the clock after the first step and stops it after the last."""

    def __init__(self) -> None:
        self.clock = Clock()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 1:
            self.clock.__enter__()
        if state.global_step == state.max_steps:
            self.clock.__exit__()


def padded(given: Encoded, spec: dict[str, Any]) -> dict[str, float]:
    """Prediction as XTREME's scripts do it: a few rows at a time, in their order, padded, in float32."""
    model = XLMRobertaForSequenceClassification(config(spec["width"])).eval()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)  # type: ignore[arg-type]
    collate = Collator({"max_length": LIMITS[spec["rows"]]})
    rows = [
        {"input_ids": ids.tolist(), "labels": 0} for ids in given.take(range(spec["steps"] * BATCH)).lists("input_ids")
    ]
    size = rows_a_pass(spec, training=False)
    batches = [collate(rows[i : i + size]) for i in range(0, len(rows), size)]
    with torch.no_grad():
        model(**{name: value[:1].to(device) for name, value in batches[0].items()})
        with Clock() as clock:
            for batch in batches:
                model(**{name: value.to(device) for name, value in batch.items()}).logits.cpu()
    return report(clock, sum(collate.tokens))


def prediction(given: Encoded, spec: dict[str, Any]) -> dict[str, float]:
    """The project's own `predict`."""
    settings = Settings.read(SETTINGS | {"mixed_precision": spec["precision"]})
    encoder = XLMRobertaModel(config(spec["width"]), add_pooling_layer=False)
    kind = KINDS[spec["rows"]]
    model = MultiTaskModel(encoder, {"rows": kind.make_head(encoder, 0.1)})
    rows = given.take(range(spec["steps"] * BATCH))
    with accelerating(settings) as accelerator:
        model = accelerator.prepare(model)
        predict(accelerator, model, "rows", kind, given.take(range(4)), TWO, settings)
        with Clock() as clock:
            predict(accelerator, model, "rows", kind, rows, pa.table({"row": rows.rows}), settings)
    return report(clock, int(rows.lengths.sum()))


def limit(unused: Encoded, spec: dict[str, Any]) -> dict[str, float]:
    """Matrix products of the model's own shapes, of a batch's tokens: the tokens/s that they alone would allow."""
    width = spec["width"]
    dtype = torch.bfloat16 if spec["precision"] == "bf16" else torch.float32
    device, count = (torch.device("cuda"), 8192) if torch.cuda.is_available() else (torch.device("cpu"), 1280)
    with accelerating(Settings.read(SETTINGS)):
        shapes = [(width, width)] * 4 + [(width, 4 * width), (4 * width, width)]
        products = [nn.functional.linear] * len(shapes)
        weights = [torch.randn(n, m, dtype=dtype, device=device) for m, n in shapes]
        inputs = [torch.randn(count, m, dtype=dtype, device=device) for m, _ in shapes]
        times = []
        with torch.inference_mode():
            for _ in range(30):
                with Clock() as clock:
                    for product, x, weight in zip(products, inputs, weights, strict=True):
                        product(x, weight)
                times.append(clock.wall)
    return {"tokens_per_s": count / (12 * float(np.median(times))), "wall": sum(times)}


def mine(unused: Encoded, spec: dict[str, Any]) -> dict[str, float]:
    """Four neighbours of unit vectors in a common direction and noise, by faiss's exact index and by ours."""
    import faiss

    width, count, queries = spec["width"], 100_000, spec["queries"]
    rng = np.random.default_rng(spec["seed"])
    index = rng.standard_normal((count, width), np.float32) + 0.5 * rng.standard_normal(width, np.float32)
    index /= np.linalg.norm(index, axis=1, keepdims=True)
    near = index[rng.permutation(count)[:queries]] + 0.02 * rng.standard_normal((queries, width), np.float32)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    flat = faiss.IndexFlatIP(width)
    flat.add(index)
    vectors = torch.from_numpy(near), torch.from_numpy(index)
    shortlist = shortlist_size(vectors[0].device, 4)
    with accelerating(Settings.read(SETTINGS)):
        flat.search(near[:256], 4)
        nearest_neighbours(vectors[0][:256], vectors[1], 4, shortlist=shortlist)
        with Clock() as theirs:
            _, wanted = flat.search(near, 4)
        if spec.get("faiss only"):
            return {"seconds_faiss": theirs.wall}
        with Clock() as own:
            _, found = nearest_neighbours(*vectors, 4, shortlist=shortlist)
    same = (np.sort(found.numpy(), 1) == np.sort(wanted, 1)).all(1).mean()
    return report(own, queries) | {"seconds_faiss": theirs.wall, "cpu_faiss": theirs.cpu, "same": float(same)}


def report(clock: Clock, tokens: int) -> dict[str, float]:
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    return {
        "tokens": tokens,
        "wall": clock.wall,
        "cpu": clock.cpu,
        "tokens_per_s": tokens / clock.wall,
        "peak_bytes": peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


WAYS: dict[str, Callable[[Encoded, dict[str, Any]], dict[str, float]]] = {
    "ours": ours,
    "trainer max length": trainer,
    "trainer dynamic": trainer,
    "trainer by length": trainer,
    "padded": padded,
    "predict": prediction,
    "limit": limit,
    "mine": mine,
}


def measure(told: dict[str, Any]) -> dict[str, float]:
    """One way, as told, on fresh weights; `file` has the rows, of the kind `rows`."""
    rows = encoded([], []) if told["way"] in ("mine", "limit") else Encoded.read(Path(told["file"]))
    found = WAYS[told["way"]](rows, told)
    gc.collect()
    if torch.cuda.is_available():  # others measure on it in turn
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return found


if __name__ == "__main__":
    os.environ["TQDM_DISABLE"] = "1"
    if not sys.argv[1:]:
        print(json.dumps({"ready": True}), flush=True)
    for line in sys.argv[1:] or sys.stdin:
        measured = measure(json.loads(line))
        if int(os.environ.get("RANK", 0)) == 0:
            print(json.dumps(measured), flush=True)
