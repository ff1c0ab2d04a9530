"""Measure methods one at a time, each request on fresh weights.

    python benchmarks/measure.py '{"method": "train", ...}'

prints one measurement as a line of JSON. Without an argument it prints `{"ready": true}`, then answers every line that
it reads. bench.py starts this script, in a process for every measurement or, on a GPU, for every method.
"""

import gc
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from clock import Clock
from ours import SETTINGS, measure_prediction, measure_training
from peers import measure_padded, measure_trainer
from rows import to_rows
from stiltwalk.tasks.mining.search.neighbours import nearest_neighbours, shortlist_size
from stiltwalk.training.accelerator import make_accelerator
from stiltwalk.training.batching import TokenizedRows
from workers import Measurement, Request

WITHOUT_ROWS = ("mine", "limit")
NEIGHBOURS = 4


def measure_limit(rows: TokenizedRows, request: Request) -> Measurement:
    """Measure the matrix products of the model's twelve layers: the tokens/s that they would allow alone."""
    width = request.width
    dtype = torch.bfloat16 if request.precision == "bf16" else torch.float32
    device, tokens = (torch.device("cuda"), 8192) if torch.cuda.is_available() else (torch.device("cpu"), 1280)
    with make_accelerator(SETTINGS):
        shapes = [(width, width)] * 4 + [(width, 4 * width), (4 * width, width)]
        weights = [torch.randn(n, m, dtype=dtype, device=device) for m, n in shapes]
        inputs = [torch.randn(tokens, m, dtype=dtype, device=device) for m, _ in shapes]
        times = []
        with torch.inference_mode():
            for _ in range(30):
                with Clock() as clock:
                    for values, weight in zip(inputs, weights, strict=True):
                        nn.functional.linear(values, weight)
                times.append(clock.wall)
    return {"tokens_per_s": tokens / (12 * float(np.median(times))), "wall": sum(times)}


def measure_mining(rows: TokenizedRows, request: Request) -> Measurement:
    """Measure the search of four neighbours among 100,000 vectors, by faiss's exact index and by Stiltwalk."""
    import faiss

    queries, index = make_vectors(request.width, 100_000, request.queries, request.seed)
    flat = faiss.IndexFlatIP(request.width)
    flat.add(index)
    vectors = torch.from_numpy(queries), torch.from_numpy(index)
    shortlist = shortlist_size(vectors[0].device, NEIGHBOURS)
    with make_accelerator(SETTINGS):
        flat.search(queries[:256], NEIGHBOURS)
        nearest_neighbours(vectors[0][:256], vectors[1], NEIGHBOURS, shortlist=shortlist)
        with Clock() as faiss_clock:
            _, expected = flat.search(queries, NEIGHBOURS)
        if request.faiss_only:
            return {"seconds_faiss": faiss_clock.wall}
        with Clock() as clock:
            _, neighbours = nearest_neighbours(*vectors, NEIGHBOURS, shortlist=shortlist)
    same = (np.sort(neighbours.numpy(), 1) == np.sort(expected, 1)).all(1).mean()
    return clock.report(request.queries) | {
        "seconds_faiss": faiss_clock.wall,
        "cpu_faiss": faiss_clock.cpu,
        "same": float(same),
    }


def make_vectors(width: int, count: int, queries: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return queries and `count` vectors to search, all of length 1.

    The vectors are noise around a common direction, and each query lies near one of them.
    """
    rng = np.random.default_rng(seed)
    index = rng.standard_normal((count, width), np.float32) + 0.5 * rng.standard_normal(width, np.float32)
    index /= np.linalg.norm(index, axis=1, keepdims=True)
    near = index[rng.permutation(count)[:queries]] + 0.02 * rng.standard_normal((queries, width), np.float32)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    return near, index


METHODS: dict[str, Callable[[TokenizedRows, Request], Measurement]] = {
    "train": measure_training,
    "trainer max length": measure_trainer,
    "trainer dynamic": measure_trainer,
    "trainer by length": measure_trainer,
    "padded": measure_padded,
    "predict": measure_prediction,
    "limit": measure_limit,
    "mine": measure_mining,
}


def measure(request: Request) -> Measurement:
    """Measure what is requested, then free the GPU for other processes."""
    rows = to_rows([], []) if request.method in WITHOUT_ROWS else TokenizedRows.read(Path(request.file))
    measurement = METHODS[request.method](rows, request)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return measurement


def main(requests: list[str]) -> None:
    is_main_process = int(os.environ.get("RANK", 0)) == 0
    if not requests:
        print(json.dumps({"ready": True}), flush=True)
    for line in requests or sys.stdin:
        measurement = measure(Request(**json.loads(line)))
        if is_main_process:
            print(json.dumps(measurement), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
