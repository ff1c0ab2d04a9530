"""Measure how cost grows with rows, languages, the steps of an order, and orders.

    PYTHONPATH=src python benchmarks/growth.py [--quick]

Every size is measured in its own process, on Linux: processor seconds of one thread, which other programs change
little, and anonymous memory, which leaves out mapped files. A slope is that of a straight line through the logarithms:
0 is flat, 1 proportional, 2 quadratic. Writes bench-scale.json, bench-scale.svg and bench-scale.png.
"""

import argparse
import io
import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from tqdm import tqdm

from growth_series import Series, format_table
from growth_workloads import WORKLOADS, Span, write_rows
from stiltwalk.utils.process import set_thread_waiting
from stiltwalk.utils.stage import run

OUT = Path("bench-scale")
SAMPLING_INTERVAL = 0.005  # seconds between two looks at the memory of a process


@dataclass(frozen=True)
class Cost:
    """Processor seconds of some work, and the most anonymous memory of its process, in bytes."""

    seconds: float
    bytes: int


def measure_all(quick: bool, rounds: int) -> dict[str, Series]:
    """Measure every series at every size: the fewest seconds and the most bytes of all rounds."""
    series = {
        name: Series(kind, expected, name in workload.with_memory)
        for kind, workload in WORKLOADS.items()
        for name, expected in workload.slopes.items()
    }
    sizes = [
        (kind, size)
        for kind, workload in WORKLOADS.items()
        for size in (workload.quick_sizes if quick else workload.sizes)
    ]
    for kind, size in tqdm(sizes, "sizes", unit="size"):
        costs = [measure_size(kind, size) for _ in range(rounds)]
        for name in WORKLOADS[kind].slopes:
            series[name].sizes.append(size)
            series[name].seconds.append(min(cost[name].seconds for cost in costs))
            series[name].bytes.append(max(cost[name].bytes for cost in costs))
    return series


def measure_size(kind: str, size: int) -> dict[str, Cost]:
    """Measure one size in a new process; return the cost of each of its series."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    samples = []
    with tempfile.TemporaryDirectory() as folder:
        if kind == "rows":  # written here, because writing them would take memory in the measured process
            write_rows(size, Path(folder) / "rows.arrow")
        process = context.Process(target=work, args=(sender, kind, size, Path(folder)))
        process.start()
        sender.close()
        while not receiver.poll(SAMPLING_INTERVAL):
            samples.append((time.monotonic(), anonymous_memory(process.pid)))
        try:
            spans: dict[str, Span] = receiver.recv()
        except EOFError:
            sys.exit(f"error: {size} {kind} could not be measured; see above")
        finally:
            process.join()
    return {
        name: Cost(span.seconds, max(used for moment, used in samples if span.begin - 0.1 < moment < span.end))
        for name, span in spans.items()
    }


def work(connection: Connection, kind: str, size: int, folder: Path) -> None:
    """Measure in this process, send the spans, and drop what the measured code prints."""
    set_thread_waiting()
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        run(lambda: connection.send(WORKLOADS[kind].measure(size, folder)))


def anonymous_memory(process: int | None) -> int:
    """Return the bytes of a process's anonymous memory."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    match = re.search(r"RssAnon:\s+(\d+) kB", status)
    return int(match[1]) * 1024 if match else 0


def main(quick: bool, rounds: int) -> None:
    """Measure, write the files, and print the table."""
    os.environ["ACCELERATE_USE_CPU"] = "true"  # this measures the handling of rows, not a GPU
    series = measure_all(quick, rounds)
    from growth_figure import draw_figure
    from machine import describe_machine

    facts = {
        "machine": describe_machine(),
        "rounds": rounds,
        "series": {name: one.to_json() for name, one in series.items()},
    }
    OUT.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    draw_figure(series, OUT)
    print(format_table(series))
    print(f"{OUT}.json, {OUT}.svg, {OUT}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="How cost grows with rows, languages, steps and orders.")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller sizes, under a minute")
    parser.add_argument("--rounds", type=int, default=1, help="measurements of every size; the fastest counts")
    options = parser.parse_args()
    main(options.quick, options.rounds)
