"""Speed and memory of training, prediction and mining beside what people would use instead, and a whole experiment.

    python src/bench/run.py [--rounds 5] [--widths 384 768] [--rows nli] [--tokenizer models/encoder] [--parts ...]

Every way is a process of its own (work.py); the ways take turns, round after round, and a ratio is the median of the
rounds' own ratios. With a tokenizer (a folder), and data where rows.py looks for it, the rows are real ones, else of
their lengths.
bench.json is written after every round: a benchmark that is stopped keeps the rounds that it had.
"""

import argparse
import itertools
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
import transformers
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench_rows import REAL, make_rows, read_rows
from pipeline import experiment
from stiltwalk.tasks.tokenized_files import write_batch
from stiltwalk.utils.process import THREAD_WAITING
from stiltwalk.utils.files import write_json

WORK = Path(__file__).parent / "work.py"
QUIET = {"TQDM_DISABLE": "1"}
OUT = Path("bench.json")
TRAINER = {name: f"trainer {name}" for name in ("max length", "dynamic", "by length")}
# (name, way, precision, batches of 32 at width 384; on a GPU twice as many, and 16 times where graphs are recorded)
TRAIN = [
    *((way, way, "no", 16 if name == "by length" else 4) for name, way in TRAINER.items()),
    ("trainer by length bf16", "trainer by length", "bf16", 16),
    ("train float32", "ours", "no", 16),
    ("train bf16", "ours", "bf16", 16),
]
PREDICT = [
    ("padded float32", "padded", "no", 8),
    ("predict float32", "predict", "no", 160),  # as many rows as a language of XNLI's test
    ("predict bf16", "predict", "bf16", 160),
]
PRECISIONS = (("float32", "no"), ("bf16", "bf16"))
NO_GRAPHS = "without graphs"
GPU = [(f"train {name} {NO_GRAPHS}", "ours", precision, 16) for name, precision in PRECISIONS]
PEERS = (*TRAINER.values(), "padded")
LIMIT = [("limit float32", "limit", "no", 0), ("limit bf16", "limit", "bf16", 0)]
RATIOS = {
    "train_vs_trainer_max_length": ("train bf16", "trainer max length"),
    "train_vs_trainer_dynamic": ("train bf16", "trainer dynamic"),
    "train_vs_trainer_grouped": ("train bf16", "trainer by length"),
    "train_vs_trainer_grouped_bf16": ("train bf16", "trainer by length bf16"),
    "train_fp32_vs_trainer_max_length": ("train float32", "trainer max length"),
    "train_fp32_vs_trainer_dynamic": ("train float32", "trainer dynamic"),
    "train_fp32_vs_trainer_grouped": ("train float32", "trainer by length"),
    "predict_vs_padded": ("predict bf16", "padded float32"),
    "predict_fp32_vs_padded": ("predict float32", "padded float32"),
}
PARTS = ("training", "prediction", "processes", "mining", "pipeline")
KERNELS = ("", "Haswell", "SkylakeX", "Zen")  # OPENBLAS_CORETYPE; "" lets OpenBLAS choose


def fail(way: str, said: str, status: int) -> NoReturn:
    """status: the exit status, less than zero where a signal ended the process."""
    if status < 0:
        why = f"killed by signal {-status}" + (", as where memory runs out" if status == -signal.SIGKILL else "")
    else:
        why = (said.strip().splitlines() or [f"exit status {status}"])[-1]
    sys.exit(f"error: {way} failed: {why}")


def environment_of(way: str) -> dict[str, str]:
    """Threads wait for each other as stages tell them to, those of what people would use instead as they come."""
    left = THREAD_WAITING if way in PEERS else {}
    return {name: value for name, value in os.environ.items() if name not in left} | QUIET


class Worker:
    """A process of its own that measures one way as often as it is asked; its first answer is that it is ready.

    For GPUs, whose kernels take long to load. On a CPU several of them would keep more memory than there is.
    """

    def __init__(self, name: str, way: str):
        self.name, self.said = name, tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, str(WORK)],
            env=environment_of(way),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
        )

    def ask(self, spec: dict[str, Any]) -> None:
        assert self.process.stdin
        print(json.dumps(spec), file=self.process.stdin, flush=True)

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith('{"'):
                return json.loads(line)
        self.said.seek(0)
        fail(self.name, self.said.read(), self.process.wait())

    def measure(self, spec: dict[str, Any]) -> dict[str, Any]:
        self.ask(spec)
        return self.answer()

    def end(self) -> None:
        self.process.communicate()
        self.said.close()


def work(
    spec: dict[str, Any],
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
    launch: Sequence[str] = (),
) -> dict[str, Any]:
    """One measurement in a process of its own; `launch` is what starts it in place of Python, in several."""
    done = subprocess.run(
        [*(launch or (sys.executable,)), str(WORK), json.dumps(spec)],
        env=environment_of(spec["way"]) | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if done.returncode:
        fail(spec["way"], done.stderr, done.returncode)
    return json.loads(done.stdout.splitlines()[-1])


Found = dict[str, list[dict[str, Any]]]  # measurements by way, one a round


def training(arguments: argparse.Namespace, width: int) -> Iterator[Found]:
    """Every way of training and predicting at one width, in turns; what was measured after every round."""
    gpu = torch.cuda.is_available()
    ways = [
        *((TRAIN + (GPU if gpu else [])) if "training" in arguments.parts else []),
        *(PREDICT if "prediction" in arguments.parts else []),
        *LIMIT,
    ]
    found: Found = {name: [] for name, *_ in ways}
    workers = {name: Worker(name, way) for name, way, *_ in ways} if gpu else {}
    for worker in workers.values():
        worker.answer()
    smaller = max(1, width // 384) * (4 if arguments.rows == "qa" else 1)

    def spec(name: str, way: str, precision: str, steps: int, seed: int) -> dict[str, Any]:
        graphs = way == "ours" and not name.endswith(NO_GRAPHS)
        steps = max(2, steps * ((16 if graphs else 2) if gpu else 1) // smaller)
        told = {"way": way, "precision": precision, "steps": steps, "graphs": graphs, "seed": seed}
        return told | {"width": width, "rows": arguments.rows, "file": arguments.file}

    if gpu:  # kernels are loaded when they are first called for: tens of seconds, which all ways may spend at once
        for way in ways:
            workers[way[0]].ask(spec(*way, seed=arguments.rounds))
        for worker in workers.values():
            worker.answer()
    for turn in range(arguments.rounds):
        for way in tqdm(ways, f"width {width}, round {turn + 1}", unit="way"):
            told, measure = spec(*way, seed=turn), workers[way[0]].measure if gpu else work
            found[way[0]].append(measure(told))
        yield found
    for worker in workers.values():
        worker.end()


def processes(arguments: argparse.Namespace) -> Iterator[Found]:
    """Training at width 384 in one process, and in two by launch/gpus.yaml; on a CPU with one thread each.

    As many steps that what is done once, before the first and after the last, weighs little, as in a real training.
    """
    several = ("accelerate", "launch", "--config_file", str(Path(__file__).parents[2] / "launch/gpus.yaml"))
    where = {} if torch.cuda.is_available() else {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    ways = [
        (count, launch, *way)
        for way in PRECISIONS
        for count, launch in (("one process", ()), ("two processes", several))
    ]
    found: Found = {f"{count} {name}": [] for count, _, name, _ in ways}
    for turn in range(arguments.rounds):
        for count, launch, name, precision in tqdm(ways, f"processes, round {turn + 1}", unit="way"):
            steps = (16 if name == "float32" else 48) // (2 if arguments.rows == "qa" else 1)
            spec = {"way": "ours", "precision": precision, "steps": steps, "width": 384, "seed": turn}
            spec |= {"rows": arguments.rows, "file": arguments.file}
            found[f"{count} {name}"].append(work(spec, where, launch=launch))
        yield found


def mining(arguments: argparse.Namespace) -> Iterator[Found]:
    """With faiss on the fastest of its BLAS kernels, which every measurement names, and ours; by width."""
    times = {}
    for kernel in tqdm(KERNELS, "faiss kernels", unit="kernel"):
        spec = {"way": "mine", "width": 384, "queries": 512, "seed": 0, "faiss only": True}
        try:
            times[kernel] = work(spec, {"OPENBLAS_CORETYPE": kernel}, 60)["seconds_faiss"]
        except subprocess.TimeoutExpired:
            continue
    best = min(times, key=lambda kernel: times[kernel])
    found: Found = {"384": [], "1024": []}
    named = {"faiss_kernel": best or "chosen by OpenBLAS"}
    for turn in range(arguments.rounds):
        for width, results in tqdm(found.items(), f"mining, round {turn + 1}", unit="width"):
            spec = {"way": "mine", "width": int(width), "queries": arguments.queries, "seed": turn}
            results.append(work(spec, {"OPENBLAS_CORETYPE": best}) | named)
        yield found


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "gpu": gpu, **versions}


def medians(found: Found, value: Callable[[dict[str, Any]], float]) -> dict[str, float]:
    """Of a value of the measurements, by way."""
    return {way: statistics.median(map(value, results)) for way, results in found.items()}


def ratio(found: Found, one: str, other: str, value: str = "tokens_per_s") -> float:
    """The median of the rounds' own ratios."""
    return statistics.median(a[value] / b[value] for a, b in zip(found[one], found[other], strict=True))


def row(name: str, rate: float, unit: str, *more: str) -> str:
    return f"{name:<34} {rate:>9,.0f} {unit:<9} " + "  ".join(more)


def of_training(found: Found, title: str, tail: str) -> tuple[dict[str, float], list[str]]:
    """Ratios and lines of the ways of training and predicting at one width."""
    rates, lines = medians(found, lambda one: one["tokens_per_s"]), [title]
    ratios = {name + tail: ratio(found, *ways) for name, ways in RATIOS.items() if set(ways) <= set(found)}
    if "train bf16" in found:
        ratios["memory_vs_trainer" + tail] = ratio(found, "train bf16", "trainer max length", "peak_bytes")
    for name, way, precision, _ in TRAIN + GPU + PREDICT:
        if results := found.get(name):
            limit = rates["limit bf16" if precision == "bf16" else "limit float32"]
            share = rates[name] / limit * (1 if way in ("padded", "predict") else 3)  # backward is twice forward
            memory = statistics.median(one["peak_bytes"] for one in results)
            cores = statistics.median(one["cpu"] / one["wall"] for one in results)
            more = f"{share:4.0%} of the limit", f"{memory / 2**30:.2f} GiB", f"{cores:.2f} cores"
            lines.append(row(name, rates[name], "tokens/s", *more))
    return ratios, lines


def of_processes(found: Found, rows: str) -> tuple[dict[str, float], list[str]]:
    rates = medians(found, lambda one: one["tokens_per_s"])
    lines = [f"several processes, {rows} rows", *(row(name, rate, "tokens/s") for name, rate in rates.items())]
    names = {f"two_processes_{name}_vs_one": (f"two processes {name}", f"one process {name}") for name, _ in PRECISIONS}
    return {name: ratio(found, *ways) for name, ways in names.items()}, lines


def of_mining(found: Found) -> tuple[dict[str, float], list[str]]:
    faster = medians(found, lambda one: one["seconds_faiss"] / one["wall"])
    rates, memory = medians(found, lambda one: one["tokens_per_s"]), medians(found, lambda one: one["peak_bytes"])
    same = {width: min(one["same"] for one in results) for width, results in found.items()}
    lines = [
        row(
            f"mining at width {width}",
            rate,
            "queries/s",
            f"faiss's four for {same[width]:.2%}",
            f"{memory[width] / 2**30:.2f} GiB with faiss's (kernel {found[width][0]['faiss_kernel']})",
        )
        for width, rate in rates.items()
    ]
    return {"mine_vs_faiss" + ("" if width == "384" else f"_{width}"): value for width, value in faster.items()}, lines


def of_pipeline(seconds: dict[str, float]) -> tuple[dict[str, float], list[str]]:
    rest = seconds["wall"] - seconds["compute"] - seconds["data"]
    line = (
        f"make repro of the last commit, packages at hand: {seconds['wall']:.0f} s, of them "
        f"{seconds['compute']:.0f} s training and prediction, {seconds['data']:.0f} s data, "
        f"{rest:.0f} s the rest of {seconds['stages']:.0f} stages"
    )
    return {"overhead": rest / seconds["wall"]}, [line]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--widths", type=int, nargs="*", default=[384, 768])
    parser.add_argument("--rows", choices=("nli", "qa"), default="nli")
    parser.add_argument("--tokenizer")
    parser.add_argument("--queries", type=int, default=20_000, help="of the search, among 100,000")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    source = REAL[arguments.rows][0]
    if arguments.tokenizer and not source.is_file():
        print(f"{source} is not there: rows are made, of the same lengths", file=sys.stderr)
        arguments.tokenizer = None
    with tempfile.TemporaryDirectory() as folder:
        arguments.file = f"{folder}/rows.arrow"  # of all ways, encoded once
        if {"training", "prediction", "processes"} & set(arguments.parts):
            if arguments.tokenizer:
                rows = read_rows(arguments.rows, Path(arguments.tokenizer), 20_000)
            else:
                rows = make_rows(arguments.rows, 11_000)
            write_batch(rows.batch, Path(arguments.file))
        run_parts(arguments)


def run_parts(arguments: argparse.Namespace) -> None:
    """Every part that is asked for, into bench.json and a table."""
    facts: dict[str, Any] = {"machine": machine(), "rows": arguments.rows, "rounds": arguments.rounds}
    real = bool(arguments.tokenizer)
    facts |= {"real_rows": real, "ratios": {}, "measurements": {}}
    table: dict[str, list[str]] = {}

    def keep(part: str, measured: Any, ratios: dict[str, float], lines: list[str]) -> None:
        facts["measurements"][part], table[part] = measured, lines
        facts["ratios"] |= {name: round(value, 2) for name, value in ratios.items()}
        write_json(facts, OUT)

    try:
        for width in arguments.widths if {"training", "prediction"} & set(arguments.parts) else ():
            title = f"12 x {width}, {'real' if real else 'made'} {arguments.rows} rows"
            tail = "" if width == 384 else f"_{width}"
            for found in training(arguments, width):
                keep(f"12x{width}", found, *of_training(found, title, tail))
        for found in processes(arguments) if "processes" in arguments.parts else ():
            keep("processes", found, *of_processes(found, arguments.rows))
        for found in mining(arguments) if "mining" in arguments.parts else ():
            keep("mining", found, *of_mining(found))
        if "pipeline" in arguments.parts:
            seconds = experiment()
            keep("pipeline", seconds, *of_pipeline(seconds))
    finally:  # whatever there is of it
        print("\n".join([f"{facts['machine']}", *itertools.chain(*table.values()), ""]))
        print("\n".join(f"{name:<34} {value:5.2f}" for name, value in facts["ratios"].items()))


if __name__ == "__main__":
    main()
