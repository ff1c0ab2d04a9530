"""How cost grows with examples, languages, the steps of an order, and orders.

    python src/bench/growth.py [--quick]

Every size is measured in a process of its own: seconds of the processor in one thread, which other work on the machine
stretches little, and anonymous memory, looked at from outside every 5 ms (Linux), which leaves out what is mapped from
files. A slope is that of a straight line through the logarithms: 0 is flat, 1 in proportion, 2 quadratic. Writes
bench-scale.json, and the figure as bench-scale.svg and bench-scale.png.
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
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from itertools import combinations
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))



OUT = Path("bench-scale")
ROOT = Path(__file__).parents[2]
WORDS = 1000
STEPS = 60  # optimizer steps of a training, whatever the number of its rows
ROWS = 500  # of one language
ALONE = {"threads": 1}
TASKS = ["anli_plus", "mnli", "qqp", "squad", "squad2", "hellaswag", "ccg", "cosmosqa", "commonsenseqa"]
MEMORY = ("set-up of a training", "training a step", "prediction of all rows")


class Span(NamedTuple):
    """Processor seconds of what was measured, and between which moments of the monotonic clock it ran."""

    seconds: float
    begin: float
    end: float


@dataclass(frozen=True)
class Growth:
    """One kind of size: how it is measured, at which sizes, and the slope that each of its series should have."""

    measure: Callable[[int, Path], dict[str, Span]]
    sizes: tuple[int, ...]
    quick: tuple[int, ...]
    slopes: dict[str, float]


def fastest(function: Callable[[], Any], enough: float = 0.3) -> Span:
    """The fastest of as many calls as `enough` seconds allow, one at least."""
    begin, best = time.monotonic(), float("inf")
    while True:
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
        if time.monotonic() - begin > enough:
            return Span(best, begin, time.monotonic())


def write_rows(count: int, path: Path) -> None:
    """Rows in the layout of src/encode.py, made without Python's lists: lengths an eighth of MNLI's, two labels."""
    from bench_rows import LENGTHS
    from stiltwalk.tasks.tokenized_files import write_batch

    rng = np.random.default_rng(0)
    points = np.linspace(0, 1, len(LENGTHS["nli"]))
    lengths = np.maximum(3, np.interp(rng.random(count), points, LENGTHS["nli"]) / 8).round().astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    columns = {
        "row": pa.array(np.arange(count, dtype=np.int32)),
        "weight": pa.array(np.ones(count, np.int32)),
        "input_ids": pa.LargeListArray.from_arrays(offsets, rng.integers(4, WORDS, offsets[-1], np.int32)),
        "labels": pa.array(rng.integers(0, 2, count, np.int32)),
    }
    write_batch(pa.record_batch(columns), path)


def tiny_encoder() -> Any:
    """So small that handling the rows is most of the work."""
    from transformers import XLMRobertaConfig, XLMRobertaModel

    config = XLMRobertaConfig(
        vocab_size=WORDS, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    return XLMRobertaModel(config, add_pooling_layer=False)


def examples(count: int, folder: Path) -> dict[str, Span]:
    """Reading the folder's file of so many rows, training for STEPS steps on it, and predicting all of it."""
    from bench_work import BATCH, KIND, SETTINGS, TWO
    from stiltwalk.training.batching import Encoded
    from stiltwalk.training.settings import Settings
    from stiltwalk.training.trainer import Data, accelerating, predict, train

    class Stamped(Encoded):
        """Notes when each batch is made; every step here has one."""

        def tensors(self, *arguments: Any) -> dict[str, Any]:
            stamps.append((time.process_time(), time.monotonic()))
            return super().tensors(*arguments)

    def settings(rows: int, steps: int) -> Settings:
        return Settings.read(SETTINGS | ALONE | {"epochs": steps * BATCH / rows, "micro_batch_tokens": BATCH * 128})

    reading = fastest(lambda: Encoded.read(folder / "rows.arrow"))
    rows, stamps = Stamped.read(folder / "rows.arrow"), list[tuple[float, float]]()
    few, table, encoder = rows.take(range(2)), pa.table({"row": rows.rows}), tiny_encoder()
    with accelerating(settings(count, STEPS)) as accelerator:
        train(accelerator, encoder, {"nli": Data(KIND, few, TWO, few)}, settings(2, 5), 0, "warm-up")
        stamps.clear()
        start, begin = time.process_time(), time.monotonic()
        data = {"nli": Data(KIND, rows, TWO, few)}
        model, *_ = train(accelerator, encoder, data, settings(count, STEPS), 0, "measured")
        end = time.monotonic()
        setup = Span(stamps[0][0] - start, begin, stamps[0][1])
        step = Span(float(np.median(np.diff([seconds for seconds, _ in stamps[:STEPS]]))), stamps[0][1], end)
        predicting = fastest(lambda: predict(accelerator, model, "nli", KIND, rows, table, settings(count, STEPS)))
    return {
        "reading a file": reading,
        "set-up of a training": setup,
        "training a step": step,
        "prediction of all rows": predicting,
    }


def languages(count: int, folder: Path) -> dict[str, Span]:
    """Prediction of so many languages as src/target.py does it, ROWS rows each, and their scores from the files."""
    from bench_work import KIND, SETTINGS
    from stiltwalk.models.multitask import MultiTaskModel
    from stiltwalk.scoring.aggregate import score_task
    from stiltwalk.tasks.pair import head as pair
    from stiltwalk.training.batching import Encoded
    from stiltwalk.training.settings import Settings
    from stiltwalk.training.trainer import accelerating, predict

    encoder, table = tiny_encoder(), pa.table({"row": range(ROWS)})
    places = {name: folder / name for name in ("encoded", "labels", "predictions")}
    for place in places.values():
        place.mkdir()
    names = [f"l{number}" for number in range(count)]
    for name in names:
        write_rows(ROWS, places["encoded"] / f"{name}.arrow")
        KIND.write(["0", "1"] * (ROWS // 2), table, places["labels"] / f"test-{name}.tsv")
    settings = Settings.read(SETTINGS | ALONE)
    model = MultiTaskModel(encoder, {"xnli": pair.Head(encoder.config.hidden_size, 2, 0.1)})

    def predict_all() -> None:
        for name in names:
            rows = Encoded.read(places["encoded"] / f"{name}.arrow")
            predictions = predict(accelerator, model, "xnli", KIND, rows, table, settings)
            KIND.write(predictions, table, places["predictions"] / f"test-{name}.tsv")

    with accelerating(settings) as accelerator:
        model.to(accelerator.device)
        return {
            "prediction of all languages": fastest(predict_all),
            "scoring": fastest(lambda: score_task("xnli", places["labels"], places["predictions"])),
        }


def steps(count: int, folder: Path) -> dict[str, Span]:
    """What `dvc exp run` does before any stage: compose params.yaml for an order of so many steps, find the stages."""
    from dvc.repo import Repo
    from dvc.utils.hydra import compose_and_dump

    mixtures = [*TASKS, *("+".join(pair) for pair in combinations(TASKS, 2))][:count]
    order = f"order=[{','.join(mixtures)}]"
    (folder / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text(encoding="utf-8"), encoding="utf-8")

    def compose() -> None:
        compose_and_dump(folder / "params.yaml", str(ROOT / "conf"), None, "config", str(ROOT / "src"), [order])

    def stages() -> None:
        with Repo(str(folder)) as repo:
            assert len(repo.index.stages) > count

    composing = fastest(compose)
    Repo.init(str(folder), no_scm=True).close()
    return {"composing params.yaml": composing, "DVC's stages": fastest(stages)}


def orders(count: int, folder: Path) -> dict[str, Span]:
    """The chains of so many orders of the nine tasks, and their trie."""
    from stiltwalk.config.orders import chain, keys
    from stiltwalk.sweep.trie import depth_first, draw_tree, prefixes

    rng = np.random.default_rng(0)
    plan = [tuple(str(task) for task in rng.permutation(TASKS)) for _ in range(count)]
    kinds = dict.fromkeys(TASKS, "pair")

    def steps_of_each() -> None:
        for order in plan:
            keys(order)
            chain(order, kinds, "float32")

    return {
        "steps of every order": fastest(steps_of_each),
        "trie": fastest(lambda: (prefixes(plan), depth_first(plan), draw_tree(plan))),
    }


FLAT, PROPORTIONAL = 0.0, 1.0
GROWTHS = {
    "rows": Growth(
        examples,
        (1_000, 10_000, 100_000, 1_000_000),
        (1_000, 100_000),
        {
            "reading a file": FLAT,
            "set-up of a training": PROPORTIONAL,
            "training a step": FLAT,
            "prediction of all rows": PROPORTIONAL,
        },
    ),
    "languages": Growth(
        languages,
        (1, 2, 4, 8, 16, 32),
        (1, 8),
        {"prediction of all languages": PROPORTIONAL, "scoring": PROPORTIONAL},
    ),
    "steps": Growth(
        steps, (1, 2, 4, 8, 16, 32), (1, 8), {"composing params.yaml": PROPORTIONAL, "DVC's stages": PROPORTIONAL}
    ),
    "orders": Growth(
        orders, (10, 100, 1_000, 10_000), (10, 1_000), {"steps of every order": PROPORTIONAL, "trie": PROPORTIONAL}
    ),
}


def work(connection: Connection, name: str, size: int, folder: Path) -> None:
    """The measuring process: its spans go through the connection, and what stages print nowhere."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        run(lambda: connection.send(GROWTHS[name].measure(size, folder)))


def measured(name: str, size: int) -> dict[str, dict[str, float]]:
    """One size in a process of its own: of every series the seconds and the most anonymous memory, in bytes."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    samples = []
    with tempfile.TemporaryDirectory() as folder:
        if name == "rows":
            write_rows(size, Path(folder) / "rows.arrow")  # here: the other process is to start with its memory clean
        process = context.Process(target=work, args=(there, name, size, Path(folder)))
        process.start()
        there.close()
        while not here.poll(0.005):
            samples.append((time.monotonic(), anonymous(process.pid)))
        try:
            spans: dict[str, Span] = here.recv()
        except EOFError:
            sys.exit(f"error: {size} {name} could not be measured; see above")
        finally:
            process.join()
    return {
        series: {"seconds": span.seconds, "bytes": max(b for t, b in samples if t < span.end and t > span.begin - 0.1)}
        for series, span in spans.items()
    }


def anonymous(process: int | None) -> int:
    """Bytes of a process's anonymous memory."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text(encoding="utf-8"))
    return int(found[1]) * 1024 if found else 0


def slope(sizes: list[int], values: list[float]) -> float:
    """Of the least-squares line through log value over log size."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def grow(quick: bool, rounds: int) -> dict[str, dict[str, Any]]:
    """Every series by name: sizes, the fastest of the rounds' seconds, the most bytes, and their slopes."""
    plan = [(name, size) for name, growth in GROWTHS.items() for size in (growth.quick if quick else growth.sizes)]
    series: dict[str, dict[str, Any]] = {
        name: {"of": of, "expected": expected, "sizes": [], "seconds": [], "bytes": []}
        for of, growth in GROWTHS.items()
        for name, expected in growth.slopes.items()
    }
    for of, size in tqdm(plan, "sizes", unit="size"):
        turns = [measured(of, size) for _ in range(rounds)]
        for name in GROWTHS[of].slopes:
            series[name]["sizes"].append(size)
            series[name]["seconds"].append(min(turn[name]["seconds"] for turn in turns))
            series[name]["bytes"].append(max(turn[name]["bytes"] for turn in turns))
    for found in series.values():
        sizes, peaks = found["sizes"], found["bytes"]
        found["slope"] = round(slope(sizes, found["seconds"]), 3)
        found["slope at the end"] = round(slope(sizes[-2:], found["seconds"][-2:]), 3)
        if found["of"] == "rows":
            found["bytes a row"] = round((peaks[-1] - peaks[0]) / (sizes[-1] - sizes[0]), 1)
    return series


def table(series: Mapping[str, Mapping[str, Any]]) -> str:
    """A line a series: its smallest and largest size, their seconds, and the slopes."""
    lines = [f"{'':<29} {'sizes':>23} {'seconds':>21} {'slope':>6} {'at the end':>10} {'expected':>8} {'peak':>9}"]
    for name, found in series.items():
        sizes = f"{found['sizes'][0]:,} to {found['sizes'][-1]:,} {found['of']}"
        seconds = f"{found['seconds'][0]:.2g} to {found['seconds'][-1]:.2g}"
        slopes = f"{found['slope']:6.2f} {found['slope at the end']:10.2f} {found['expected']:8.0f}"
        memory = f"{found['bytes'][-1] / 2**20:5.0f} MiB"
        more = f"  {found['bytes a row']:,.0f} bytes a row" if name in MEMORY else ""
        lines.append(f"{name:<29} {sizes:>23} {seconds:>21} {slopes} {memory}{more}")
    return "\n".join(lines)


def draw_figure(series: Mapping[str, Mapping[str, Any]], out: Path) -> None:
    """A panel a kind of size, and one for memory over rows; dotted lines go up in proportion to the size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 3, figsize=(13, 8), layout="constrained")
    axes[1, 2].set_axis_off()
    panels: list[tuple[str, str, str]] = [(of, "seconds", of) for of in GROWTHS]
    panels.insert(1, ("rows", "bytes", "rows: anonymous memory"))
    for axis, (of, measure, title) in zip(axes.flat, panels, strict=False):
        for name, found in series.items():
            if found["of"] != of or (measure == "bytes" and name not in MEMORY):
                continue
            values = np.array(found[measure]) / (2**20 if measure == "bytes" else 1)
            label = f"{name} ({found['bytes a row']:,.0f} bytes a row)" if measure == "bytes" else name
            label += f" ({found['slope']:.2f})" if measure == "seconds" else ""
            (line,) = axis.loglog(found["sizes"], values, marker="o", label=label)
            if measure == "seconds" and found["expected"]:
                sizes = np.array(found["sizes"])
                axis.loglog(sizes, values[-1] * sizes / sizes[-1], ":", color=line.get_color(), linewidth=1)
        axis.set(title=title, xlabel=of, ylabel="MiB" if measure == "bytes" else "seconds (slope)")
        bottom, top = np.log10(axis.get_ylim())
        axis.set_ylim(10 ** np.floor(bottom), 10 ** np.ceil(top + (top - bottom) / 4))  # room for the legend
        axis.legend(fontsize="small", loc="upper left")
        axis.grid(alpha=0.3)
    for suffix in (".svg", ".png"):
        figure.savefig(out.with_suffix(suffix), dpi=120)
    pyplot.close(figure)


def main(quick: bool, rounds: int) -> None:
    os.environ["ACCELERATE_USE_CPU"] = "true"  # the handling of rows is measured, not a GPU
    series = grow(quick, rounds)
    from bench_run import machine

    facts = {"machine": machine(), "rounds": rounds, "series": series}
    OUT.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    draw_figure(series, OUT)
    print(table(series))
    print(f"{OUT}.json, {OUT}.svg, {OUT}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="How cost grows with examples, languages, steps and orders.")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller sizes, under a minute")
    parser.add_argument("--rounds", type=int, default=1, help="measurements of every size; the fastest counts")
    options = parser.parse_args()
    main(options.quick, options.rounds)
