"""Compare speed and memory of training, prediction and mining with the usual alternatives; time a whole experiment.

    PYTHONPATH=src python benchmarks/bench.py [--rounds 5] [--widths 384 768] [--rows nli] [--tokenizer FOLDER]
        [--parts training prediction processes mining pipeline]

The methods take turns, round after round, each in its own process. A ratio is the median of the ratios of each round.
With --tokenizer, and data where rows.py looks for it, the rows are real; otherwise they are generated with the same
lengths. bench.json is written after every round: a benchmark that is stopped keeps its rounds.
"""

import argparse
import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from machine import describe_machine
from methods import GPU_TRAINING, LIMITS, PRECISIONS, PREDICTION, TRAINING, Method
from pipeline import measure_experiment
from rows import SOURCES, RowsName, make_rows, read_rows
from stiltwalk.tasks.base_data.token_files import write_batch
from stiltwalk.utils.files import write_json
from summary import (
    Measurements,
    Summary,
    summarise_experiment,
    summarise_mining,
    summarise_processes,
    summarise_width,
)
from workers import ROOT, Request, Worker, measure_once

OUT = Path("bench.json")
PARTS = ("training", "prediction", "processes", "mining", "pipeline")
ROW_PARTS = PARTS[:3]  # that need rows
KERNELS = ("", "Haswell", "SkylakeX", "Zen")  # OPENBLAS_CORETYPE; "" lets OpenBLAS choose
LAUNCHER = ("accelerate", "launch", "--config_file", str(ROOT / "launch/gpus.yaml"))


@dataclass(frozen=True)
class Options:
    """The command-line options.

    tokenizer: folder of a tokenizer; None generates rows. queries: vectors to search neighbours of. file: tokenised
    rows for all methods, which `main` writes.
    """

    rounds: int
    widths: list[int]
    rows: RowsName
    tokenizer: str | None
    queries: int
    parts: list[str]
    file: str = ""


class Results:
    """What has been measured so far: bench.json, and a table."""

    def __init__(self, options: Options) -> None:
        self.facts: dict[str, Any] = {
            "machine": describe_machine(),
            "rows": options.rows,
            "rounds": options.rounds,
            "real_rows": bool(options.tokenizer),
            "ratios": {},
            "measurements": {},
        }
        self.table: dict[str, list[str]] = {}

    def record(self, part: str, measurements: Any, summary: Summary) -> None:
        """Write the measurements of a part in place of its earlier ones."""
        self.facts["measurements"][part], self.table[part] = measurements, summary.lines
        self.facts["ratios"] |= {name: round(value, 2) for name, value in summary.ratios.items()}
        write_json(self.facts, OUT)

    def print(self) -> None:
        """Print the table and the ratios."""
        print(self.facts["machine"], *(line for lines in self.table.values() for line in lines), "", sep="\n")
        print("\n".join(f"{name:<34} {value:5.2f}" for name, value in self.facts["ratios"].items()))


def measure_width(options: Options, width: int) -> Iterator[Measurements]:
    """Yield, after every round, the measurements of all methods of training and prediction at one width."""
    gpu = torch.cuda.is_available()
    methods = [
        *([*TRAINING, *(GPU_TRAINING if gpu else [])] if "training" in options.parts else []),
        *(PREDICTION if "prediction" in options.parts else []),
        *LIMITS,
    ]
    measurements: Measurements = {method.name: [] for method in methods}
    workers = start_workers(methods, options, width) if gpu else {}
    for turn in range(options.rounds):
        for method in tqdm(methods, f"width {width}, round {turn + 1}", unit="method"):
            request = method.request(width, options.rows, options.file, turn, gpu)
            if method.name in workers:
                workers[method.name].send(request)
                measurements[method.name].append(workers[method.name].receive())
            else:
                measurements[method.name].append(measure_once(request))
        yield measurements
    for worker in workers.values():
        worker.end()


def start_workers(methods: list[Method], options: Options, width: int) -> dict[str, Worker]:
    """Start a process for every method and let all measure once at the same time, which loads their GPU kernels."""
    workers = {method.name: Worker(method.name, method.measured_as) for method in methods}
    for worker in workers.values():
        worker.receive()
    for method in methods:
        workers[method.name].send(method.request(width, options.rows, options.file, options.rounds, gpu=True))
    for worker in workers.values():
        worker.receive()
    return workers


def measure_processes(options: Options) -> Iterator[Measurements]:
    """Yield, after every round, training at width 384 in one process and in two (launch/gpus.yaml).

    On a CPU each process has one thread. There are enough steps that work before the first and after the last step
    weighs little, as in a real training.
    """
    variables = {} if torch.cuda.is_available() else {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    ways = [
        (f"{processes} {name}", launcher, name)
        for name in PRECISIONS
        for processes, launcher in (("one process", ()), ("two processes", LAUNCHER))
    ]
    measurements: Measurements = {label: [] for label, _, _ in ways}
    for turn in range(options.rounds):
        for label, launcher, name in tqdm(ways, f"processes, round {turn + 1}", unit="method"):
            steps = (16 if name == "float32" else 48) // (2 if options.rows == "qa" else 1)
            request = Request(
                "train", precision=PRECISIONS[name], steps=steps, rows=options.rows, file=options.file, seed=turn
            )
            measurements[label].append(measure_once(request, variables, launcher=launcher))
        yield measurements


def measure_mining(options: Options) -> Iterator[Measurements]:
    """Yield, after every round, the search for neighbours by width. faiss runs on the fastest of its BLAS kernels."""
    kernel = fastest_kernel()
    measurements: Measurements = {"384": [], "1024": []}
    for turn in range(options.rounds):
        for width, results in tqdm(measurements.items(), f"mining, round {turn + 1}", unit="width"):
            request = Request("mine", width=int(width), queries=options.queries, seed=turn)
            measurement = measure_once(request, {"OPENBLAS_CORETYPE": kernel})
            results.append(measurement | {"faiss_kernel": kernel or "chosen by OpenBLAS"})
        yield measurements


def fastest_kernel() -> str:
    """Return the kernel of OpenBLAS with which faiss searches fastest; a kernel that takes a minute is passed over."""
    seconds = {}
    for kernel in tqdm(KERNELS, "faiss kernels", unit="kernel"):
        request = Request("mine", width=384, queries=512, faiss_only=True)
        try:
            seconds[kernel] = measure_once(request, {"OPENBLAS_CORETYPE": kernel}, timeout=60)["seconds_faiss"]
        except subprocess.TimeoutExpired:
            continue
    return min(seconds, key=lambda kernel: seconds[kernel])


def measure_parts(options: Options) -> None:
    """Measure every requested part, write bench.json, and print a table of what was measured even if stopped."""
    results = Results(options)
    rows = f"{'real' if options.tokenizer else 'generated'} {options.rows} rows"
    try:
        for width in options.widths if {"training", "prediction"} & set(options.parts) else ():
            suffix = "" if width == 384 else f"_{width}"
            for measurements in measure_width(options, width):
                summary = summarise_width(measurements, f"12 x {width}, {rows}", suffix)
                results.record(f"12x{width}", measurements, summary)
        for measurements in measure_processes(options) if "processes" in options.parts else ():
            results.record("processes", measurements, summarise_processes(measurements, options.rows))
        for measurements in measure_mining(options) if "mining" in options.parts else ():
            results.record("mining", measurements, summarise_mining(measurements))
        if "pipeline" in options.parts:
            seconds = measure_experiment()
            results.record("pipeline", dataclasses.asdict(seconds), summarise_experiment(seconds))
    finally:
        results.print()


def main(options: Options) -> None:
    """Prepare the rows, which all methods share, and measure."""
    source = SOURCES[options.rows]
    if options.tokenizer and not source.file.is_file():
        print(f"{source.file} is missing: rows of the same lengths are generated", file=sys.stderr)
        options = dataclasses.replace(options, tokenizer=None)
    with tempfile.TemporaryDirectory() as folder:
        options = dataclasses.replace(options, file=f"{folder}/rows.arrow")
        if set(ROW_PARTS) & set(options.parts):
            if options.tokenizer:
                rows = read_rows(options.rows, Path(options.tokenizer), 20_000)
            else:
                rows = make_rows(options.rows, 11_000)
            write_batch(rows.batch, Path(options.file))
        measure_parts(options)


def parse_options() -> Options:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--widths", type=int, nargs="*", default=[384, 768])
    parser.add_argument("--rows", choices=tuple(SOURCES), default="nli")
    parser.add_argument("--tokenizer", metavar="FOLDER", help="of a tokenizer, to measure on real rows")
    parser.add_argument("--queries", type=int, default=20_000, help="of the search among 100,000 vectors")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    main(parse_options())
