"""The work whose growth is measured: rows, languages, steps of an order, and orders.

Each function imports what it measures, and nothing else, so that memory is that of the work alone.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

ROOT = Path(__file__).parents[1]
VOCABULARY = 1000
STEPS = 60  # optimizer steps of a training, whatever the number of its rows
ROWS_PER_LANGUAGE = 500
TASKS = ["anli_plus", "mnli", "qqp", "squad", "squad2", "hellaswag", "ccg", "cosmosqa", "commonsenseqa"]
FLAT, PROPORTIONAL = 0.0, 1.0


@dataclass(frozen=True)
class Span:
    """Processor seconds of some work, and the moments of the monotonic clock between which it ran."""

    seconds: float
    begin: float
    end: float


@dataclass(frozen=True)
class Workload:
    """Work that grows with one kind of size.

    measure: size and a folder to write in -> the span of each series. slopes: the slope that each series should have.
    with_memory: series whose memory is of interest.
    """

    measure: Callable[[int, Path], dict[str, Span]]
    sizes: tuple[int, ...]
    quick_sizes: tuple[int, ...]
    slopes: Mapping[str, float]
    with_memory: tuple[str, ...] = ()


def time_fastest(function: Callable[[], Any], enough: float = 0.3) -> Span:
    """Return the fastest of as many calls as fit into `enough` seconds, at least one."""
    begin, best = time.monotonic(), float("inf")
    while True:
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
        if time.monotonic() - begin > enough:
            return Span(best, begin, time.monotonic())


def write_rows(count: int, path: Path) -> None:
    """Write rows as src/data.py does, an eighth as long as MNLI's, without lists of Python integers."""
    from rows import draw_lengths
    from stiltwalk.tasks.base_data.token_files import write_batch

    rng = np.random.default_rng(0)
    lengths = np.maximum(3, draw_lengths("nli", count, rng) / 8).round().astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    columns = {
        "row": pa.array(np.arange(count, dtype=np.int32)),
        "loss_terms": pa.array(np.ones(count, np.int32)),
        "input_ids": pa.LargeListArray.from_arrays(offsets, rng.integers(4, VOCABULARY, offsets[-1], np.int32)),
        "labels": pa.array(rng.integers(0, 2, count, np.int32)),
    }
    write_batch(pa.record_batch(columns), path)


def make_tiny_encoder() -> Any:
    """Return an encoder so small that handling the rows is most of the work."""
    from transformers import XLMRobertaConfig, XLMRobertaModel

    config = XLMRobertaConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    return XLMRobertaModel(config, add_pooling_layer=False)


def measure_rows(count: int, folder: Path) -> dict[str, Span]:
    """Read the folder's file of so many rows, train for STEPS steps on it, and predict all of it."""
    from dataclasses import replace

    from ours import BATCH, PAIR_TASK, SETTINGS, TWO_ROWS
    from stiltwalk.training.accelerator import make_accelerator
    from stiltwalk.training.batching import TokenizedRows
    from stiltwalk.training.evaluation import predict
    from stiltwalk.training.settings import Settings
    from stiltwalk.training.task_data import TaskData
    from stiltwalk.training.trainer import Trainer

    class TimedRows(TokenizedRows):
        """Notes when each batch is made. Every step here has one batch."""

        def tensors(self, indices: Iterable[int], *arguments: Any, **options: Any) -> dict[str, Any]:
            moments.append((time.process_time(), time.monotonic()))
            return super().tensors(indices, *arguments, **options)

    def settings_for(rows: int, steps: int) -> Settings:
        return replace(SETTINGS, threads=1, epochs=steps * BATCH / rows, micro_batch_tokens=BATCH * 128)

    reading = time_fastest(lambda: TokenizedRows.read(folder / "rows.arrow"))
    rows, moments = TimedRows.read(folder / "rows.arrow"), list[tuple[float, float]]()
    few, table, encoder = rows.take(range(2)), pa.table({"row": rows.table_rows}), make_tiny_encoder()
    settings = settings_for(count, STEPS)
    with make_accelerator(settings) as accelerator:
        warm_up = {"nli": TaskData(PAIR_TASK, few, TWO_ROWS, few)}
        Trainer(accelerator, encoder, warm_up, settings_for(2, 5), 0, "warm-up").train()
        moments.clear()
        start, begin = time.process_time(), time.monotonic()
        data = {"nli": TaskData(PAIR_TASK, rows, TWO_ROWS, few)}
        model = Trainer(accelerator, encoder, data, settings, 0, "measured").train().model
        end = time.monotonic()
        first_seconds, first_moment = moments[0]
        step_seconds = float(np.median(np.diff([seconds for seconds, _ in moments[:STEPS]])))
        return {
            "reading a file": reading,
            "set-up of a training": Span(first_seconds - start, begin, first_moment),
            "training a step": Span(step_seconds, first_moment, end),
            "prediction of all rows": time_fastest(
                lambda: predict(accelerator, model, "nli", PAIR_TASK, rows, table, settings)
            ),
        }


def measure_languages(count: int, folder: Path) -> dict[str, Span]:
    """Predict so many languages as src/target.py does, and score the files."""
    from dataclasses import replace

    from ours import PAIR_TASK, SETTINGS
    from stiltwalk.models.multitask import MultiTaskModel
    from stiltwalk.scoring.aggregate import score_task
    from stiltwalk.training.accelerator import make_accelerator
    from stiltwalk.training.batching import TokenizedRows
    from stiltwalk.training.evaluation import predict

    encoder, table = make_tiny_encoder(), pa.table({"row": range(ROWS_PER_LANGUAGE)})
    tokens, labels, predictions = folder / "tokens", folder / "labels", folder / "predictions"
    for place in (tokens, labels, predictions):
        place.mkdir()
    languages = [f"l{number}" for number in range(count)]
    for language in languages:
        write_rows(ROWS_PER_LANGUAGE, tokens / f"{language}.arrow")
        gold = ["0", "1"] * (ROWS_PER_LANGUAGE // 2)
        PAIR_TASK.write_predictions(gold, table, labels / f"test-{language}.tsv")
    settings = replace(SETTINGS, threads=1)
    model = MultiTaskModel(encoder, {"xnli": PAIR_TASK.make_head(encoder, 0.1)})

    def predict_all() -> None:
        for language in languages:
            rows = TokenizedRows.read(tokens / f"{language}.arrow")
            answers = predict(accelerator, model, "xnli", PAIR_TASK, rows, table, settings)
            PAIR_TASK.write_predictions(answers, table, predictions / f"test-{language}.tsv")

    with make_accelerator(settings) as accelerator:
        model.to(accelerator.device)
        return {
            "prediction of all languages": time_fastest(predict_all),
            "scoring": time_fastest(lambda: score_task("xnli", labels, predictions)),
        }


def measure_steps(count: int, folder: Path) -> dict[str, Span]:
    """Do what `dvc exp run` does before any stage: compose params.yaml for so many steps, and list the stages."""
    from dvc.repo import Repo
    from dvc.utils.hydra import compose_and_dump

    mixtures = [*TASKS, *("+".join(pair) for pair in combinations(TASKS, 2))][:count]
    order = f"order=[{','.join(mixtures)}]"
    (folder / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text(encoding="utf-8"), encoding="utf-8")

    def compose() -> None:
        compose_and_dump(folder / "params.yaml", str(ROOT / "conf"), None, "config", str(ROOT / "src"), [order])

    def list_stages() -> None:
        with Repo(str(folder)) as repo:
            assert len(repo.index.stages) > count

    composing = time_fastest(compose)
    Repo.init(str(folder), no_scm=True).close()
    return {"composing params.yaml": composing, "DVC's stages": time_fastest(list_stages)}


def measure_orders(count: int, folder: Path) -> dict[str, Span]:
    """Plan the steps of so many orders of the nine tasks, and build their trie."""
    from stiltwalk.config.plan import plan_steps
    from stiltwalk.sweep.trie import depth_first, draw_tree, prefixes

    rng = np.random.default_rng(0)
    orders = [tuple(str(task) for task in rng.permutation(TASKS)) for _ in range(count)]
    kinds = dict.fromkeys(TASKS, "pair")

    def plan_all() -> None:
        for order in orders:
            plan_steps(order, kinds, "float32")

    return {
        "steps of every order": time_fastest(plan_all),
        "trie": time_fastest(lambda: (prefixes(orders), depth_first(orders), draw_tree(orders))),
    }


WORKLOADS = {
    "rows": Workload(
        measure_rows,
        sizes=(1_000, 10_000, 100_000, 1_000_000),
        quick_sizes=(1_000, 100_000),
        slopes={
            "reading a file": FLAT,
            "set-up of a training": PROPORTIONAL,
            "training a step": FLAT,
            "prediction of all rows": PROPORTIONAL,
        },
        with_memory=("set-up of a training", "training a step", "prediction of all rows"),
    ),
    "languages": Workload(
        measure_languages,
        sizes=(1, 2, 4, 8, 16, 32),
        quick_sizes=(1, 8),
        slopes={"prediction of all languages": PROPORTIONAL, "scoring": PROPORTIONAL},
    ),
    "steps": Workload(
        measure_steps,
        sizes=(1, 2, 4, 8, 16, 32),
        quick_sizes=(1, 8),
        slopes={"composing params.yaml": PROPORTIONAL, "DVC's stages": PROPORTIONAL},
    ),
    "orders": Workload(
        measure_orders,
        sizes=(10, 100, 1_000, 10_000),
        quick_sizes=(10, 1_000),
        slopes={"steps of every order": PROPORTIONAL, "trie": PROPORTIONAL},
    ),
}
