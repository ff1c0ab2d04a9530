"""Speed and memory of training, prediction and mining beside what people would use instead, and a whole experiment.

    python src/bench/run.py [--rounds 5] [--widths 384 768] [--rows nli] [--tokenizer models/encoder] [--parts ...]

Every way is a process of its own (work.py); the ways take turns, round after round, and a ratio is the median of the
rounds' own ratios. With a tokenizer (a folder) and ../shared/hub the rows are real ones, else of their lengths.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
import transformers
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.pipeline import experiment

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
NO_GRAPHS = "without graphs"
GPU = [
    (f"train {name} {NO_GRAPHS}", "ours", precision, 16) for name, precision in (("float32", "no"), ("bf16", "bf16"))
]
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


def fail(way: str, said: str) -> NoReturn:
    sys.exit(f"error: {way} failed: {said.strip().splitlines()[-1]}")


class Worker:
    """A process of its own that measures one way as often as it is asked; its first answer is that it is ready."""

    def __init__(self, way: str):
        self.way, self.said = way, tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, str(WORK)],
            env={**os.environ, **QUIET},
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
        fail(self.way, self.said.read())

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
        env={**os.environ, **QUIET, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if done.returncode:
        fail(spec["way"], done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def training(arguments: argparse.Namespace, width: int) -> dict[str, list[dict[str, Any]]]:
    """Every way of training and predicting at one width, in turns."""
    gpu = torch.cuda.is_available()
    ways = [
        *((TRAIN + (GPU if gpu else [])) if "training" in arguments.parts else []),
        *(PREDICT if "prediction" in arguments.parts else []),
        *LIMIT,
    ]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name, *_ in ways}
    workers = {name: Worker(name) for name in found}
    for worker in workers.values():
        worker.answer()
    smaller = max(1, width // 384) * (4 if arguments.rows == "qa" else 1)

    def ask(name: str, way: str, precision: str, steps: int, seed: int) -> Worker:
        graphs = way == "ours" and not name.endswith(NO_GRAPHS)
        steps = max(2, steps * ((16 if graphs else 2) if gpu else 1) // smaller)
        spec = {"way": way, "precision": precision, "steps": steps, "graphs": graphs, "seed": seed}
        workers[name].ask(spec | {"width": width, "rows": arguments.rows, "tokenizer": arguments.tokenizer})
        return workers[name]

    if gpu:  # kernels are loaded when they are first called for: tens of seconds, which all ways may spend at once
        for worker in [ask(*way, seed=arguments.rounds) for way in ways]:
            worker.answer()
    for turn in range(arguments.rounds):
        for way in tqdm(ways, f"width {width}, round {turn + 1}", unit="way"):
            found[way[0]].append(ask(*way, seed=turn).answer())
    for worker in workers.values():
        worker.end()
    return found


def processes(arguments: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Training at width 384 in one process, and in two by launch/gpus.yaml; on a CPU with one thread each."""
    several = ("accelerate", "launch", "--config_file", str(Path(__file__).parents[2] / "launch/gpus.yaml"))
    where = {} if torch.cuda.is_available() else {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    found: dict[str, list[dict[str, Any]]] = {"one process": [], "two processes": []}
    for turn in range(arguments.rounds):
        for (name, results), launch in zip(found.items(), ((), several), strict=True):
            spec = {"way": "ours", "precision": "bf16", "steps": 16, "width": 384, "seed": turn}
            spec |= {"rows": arguments.rows, "tokenizer": arguments.tokenizer}
            print(f"{name}, round {turn + 1}", file=sys.stderr)
            results.append(work(spec, where, launch=launch))
    return found


def mining(arguments: argparse.Namespace) -> tuple[str, dict[int, list[dict[str, Any]]]]:
    """With faiss on the fastest of its BLAS kernels, and ours: the kernel, and the measurements by width."""
    times = {}
    for kernel in tqdm(KERNELS, "faiss kernels", unit="kernel"):
        spec = {"way": "mine", "width": 384, "queries": 512, "seed": 0, "faiss only": True}
        try:
            times[kernel] = work(spec, {"OPENBLAS_CORETYPE": kernel}, 60)["seconds_faiss"]
        except subprocess.TimeoutExpired:
            continue
    best = min(times, key=lambda kernel: times[kernel])
    found: dict[int, list[dict[str, Any]]] = {384: [], 1024: []}
    for turn in range(arguments.rounds):
        for width, results in tqdm(found.items(), f"mining, round {turn + 1}", unit="width"):
            spec = {"way": "mine", "width": width, "queries": arguments.queries, "seed": turn}
            results.append(work(spec, {"OPENBLAS_CORETYPE": best}))
    return best, found


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


def median(values: list[float]) -> float:
    return float(statistics.median(values))


def row(name: str, rate: float, unit: str, *more: str) -> str:
    return f"{name:<34} {rate:>9,.0f} {unit:<9} " + "  ".join(more)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--widths", type=int, nargs="*", default=[384, 768])
    parser.add_argument("--rows", choices=("nli", "qa"), default="nli")
    parser.add_argument("--tokenizer")
    parser.add_argument("--queries", type=int, default=20_000, help="of the search, among 100,000")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    facts: dict[str, Any] = {"machine": machine(), "rows": arguments.rows, "rounds": arguments.rounds}
    facts |= {"real_rows": bool(arguments.tokenizer), "ratios": {}, "measurements": {}}
    lines = []
    for width in arguments.widths if {"training", "prediction"} & set(arguments.parts) else ():
        found = facts["measurements"][f"12x{width}"] = training(arguments, width)
        tail = "" if width == 384 else f"_{width}"
        rates = {name: median([r["tokens_per_s"] for r in results]) for name, results in found.items()}
        for ratio, (one, other) in RATIOS.items():
            if one not in found:
                continue
            pairs = zip(found[one], found[other], strict=True)
            facts["ratios"][ratio + tail] = round(median([a["tokens_per_s"] / b["tokens_per_s"] for a, b in pairs]), 2)
        if "train bf16" in found:
            pairs = zip(found["train bf16"], found["trainer max length"], strict=True)
            less = median([a["peak_bytes"] / b["peak_bytes"] for a, b in pairs])
            facts["ratios"]["memory_vs_trainer" + tail] = round(less, 2)
        lines.append(f"12 x {width}, {arguments.rows} rows")
        for name, way, kind, _ in TRAIN + GPU + PREDICT:
            if not (results := found.get(name)):
                continue
            alone = rates["limit bf16" if kind == "bf16" else "limit float32"]
            share = rates[name] / alone * (1 if way in ("padded", "predict") else 3)  # backward is twice forward
            memory = f"{median([r['peak_bytes'] for r in results]) / 2**30:.2f} GiB"
            cores = f"{median([r['cpu'] / r['wall'] for r in results]):.2f} cores"
            lines.append(row(name, rates[name], "tokens/s", f"{share:4.0%} of the limit", memory, cores))
    if "processes" in arguments.parts:
        found = facts["measurements"]["processes"] = processes(arguments)
        pairs = zip(found["two processes"], found["one process"], strict=True)
        facts["ratios"]["two_processes_vs_one"] = round(
            median([a["tokens_per_s"] / b["tokens_per_s"] for a, b in pairs]), 2
        )
        lines += [
            row(name, median([r["tokens_per_s"] for r in results]), "tokens/s", "bf16")
            for name, results in found.items()
        ]
    if "mining" in arguments.parts:
        kernel, results_of = mining(arguments)
        facts["faiss_kernel"] = kernel or "chosen by OpenBLAS"
        facts["measurements"]["mining"] = results_of
        for width, results in results_of.items():
            faster = round(median([r["seconds_faiss"] / r["wall"] for r in results]), 2)
            facts["ratios"]["mine_vs_faiss" + ("" if width == 384 else f"_{width}")] = faster
            same = min(r["same"] for r in results)
            speed = median([r["tokens_per_s"] for r in results])
            memory = f"{median([r['peak_bytes'] for r in results]) / 2**30:.2f} GiB with faiss's"
            lines.append(row(f"mining at width {width}", speed, "queries/s", f"faiss's four for {same:.2%}", memory))
    if "pipeline" in arguments.parts:
        seconds = facts["measurements"]["pipeline"] = experiment()
        rest = seconds["wall"] - seconds["compute"] - seconds["data"]
        facts["ratios"]["overhead"] = round(rest / seconds["wall"], 2)
        lines.append(
            f"make repro of the last commit, packages at hand: {seconds['wall']:.0f} s, of them "
            f"{seconds['compute']:.0f} s training and prediction, {seconds['data']:.0f} s data, "
            f"{rest:.0f} s the rest of {seconds['stages']:.0f} stages"
        )
    OUT.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print("\n".join([f"{facts['machine']}", *lines, ""]))
    print("\n".join(f"{name:<34} {value:5.2f}" for name, value in facts["ratios"].items()))


if __name__ == "__main__":
    main()
