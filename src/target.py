"""One XTREME task, or two with the same training rows: tune the final encoder on English, predict every language.

    python src/target.py xnli
    python src/target.py xquad mlqa

Predictions are written in XTREME's submission layout. No test label is ever read here.
"""

from stiltwalk.utils.process import prepare_stage

if __name__ == "__main__":
    prepare_stage()

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from accelerate import Accelerator
from tqdm import tqdm

from stiltwalk.models.architecture import check_languages, set_language
from stiltwalk.models.checkpoint import load_config, load_encoder
from stiltwalk.models.multitask import MultiTaskModel
from stiltwalk.models.resume import TRAINING_CODE, Resume
from stiltwalk.tasks.base_head import TrainedTask
from stiltwalk.training.accelerator import make_accelerator
from stiltwalk.training.batching import TokenizedRows
from stiltwalk.training.curves import record_curves
from stiltwalk.training.evaluation import evaluate, predict
from stiltwalk.training.launch import launch
from stiltwalk.training.memory import out_of_memory_hint
from stiltwalk.training.settings import Settings
from stiltwalk.training.task_data import TaskData
from stiltwalk.training.trainer import seed_for, train_with_retries
from stiltwalk.utils.files import atomic_dir, write_json
from stiltwalk.utils.params import read_params
from stiltwalk.utils.tables import read_table

DATA = Path("data/xtreme")
Predictions = dict[str, tuple[list[Any], pa.Table]]  # by test: predictions, and the rows that they are for


def main(first: str, second: str = "") -> None:
    targets = [first, second] if second else [first]
    seed, final = read_params("seed", "plan.final")
    tuning = read_params(f"plan.tuning_pairs.{first}+{second}") if second else read_params(f"plan.tunings.{first}")
    block, options = read_params(f"plan.targets.{first}.training", f"plan.targets.{first}.task")
    settings, seed_name = Settings.read(block, f"plan.targets.{first}.training"), tuning["seed_name"]
    data = {target: TaskData.read(DATA / target, options) for target in targets}
    task = data[first].task
    start = Path("models") / final / "encoder"
    check_languages(load_config(start), test_languages(targets))
    inputs = [start, *(DATA / target for target in targets)]
    resume = Resume(first, [seed, seed_name, block, options], TRAINING_CODE, inputs)
    curves = record_curves(Path("metrics/curves") / first, resume)
    with curves as live, make_accelerator(settings, live=live) as accelerator:
        load = partial(load_encoder, start, settings.dropout, settings.attention)
        seeds = partial(seed_for, seed, seed_name)
        result = train_with_retries(accelerator, load, {first: data[first]}, settings, seeds, first, resume)
        tuned, facts = result.model, {first: result.scores | result.problems}
        if second:
            # The model has one head, named after the first target.
            scores, flags = evaluate(accelerator, tuned, {first: data[second]}, settings)
            facts[second] = {second: scores[first]} | ({"flags": {second: flags[first]}} if flags else {})
        begin = time.perf_counter()
        predictions = predict_tests(accelerator, tuned, task, targets, settings)
        seconds = time.perf_counter() - begin
        if accelerator.is_main_process:
            for target in targets:
                write_json(facts[target], Path("metrics/targets") / f"{target}.json")
                write_predictions(predictions[target], task, target)
            resume.remove()
        count = sum(map(len, predictions.values()))
        accelerator.print(f"{' and '.join(targets)}: predicted {count} tests from {start} in {seconds:.1f} s")


def predict_tests(
    accelerator: Accelerator, tuned: MultiTaskModel, task: TrainedTask[Any], targets: list[str], settings: Settings
) -> dict[str, Predictions]:
    """Predict every test of every target; the model has one head, named after the first target."""
    predictions: dict[str, Predictions] = {target: {} for target in targets}
    tests = [(target, path) for target in targets for path in sorted((DATA / target).glob("test-*.parquet"))]
    bar = tqdm(tests, f"{targets[0]} predictions", unit="language", disable=not accelerator.is_main_process)
    with out_of_memory_hint("prediction_tokens", settings):
        for target, path in bar:
            set_language(tuned.encoder, path.stem.removeprefix("test-"))
            rows, tokens = read_table(path), TokenizedRows.read(path.with_suffix(".arrow"))
            answers = predict(accelerator, tuned, targets[0], task, tokens, rows, settings)
            predictions[target][path.stem] = answers, rows
    return predictions


def test_languages(targets: list[str]) -> list[str]:
    """Return the languages of all tests."""
    return [path.stem.removeprefix("test-") for target in targets for path in (DATA / target).glob("test-*.parquet")]


def write_predictions(predictions: Predictions, task: TrainedTask[Any], target: str) -> None:
    """Write the predictions of a target in XTREME's submission layout."""
    with atomic_dir(Path("predictions") / target) as folder:
        for name, (answers, rows) in predictions.items():
            task.write_predictions(answers, rows, folder / f"{name}.{task.suffix}")


if __name__ == "__main__":
    launch(main, *sys.argv[1:])
