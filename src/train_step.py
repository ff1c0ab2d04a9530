"""Train one step of an order: fine-tune the encoder of the previous step on one mixture of intermediate tasks.

    python src/train_step.py 2-squad

The next step takes over only the encoder; optimizer and schedule start from scratch. Every checkpoint also keeps the
heads and validation rows of its own and of all earlier steps (probe heads), which src/retention.py evaluates again.
"""

from stiltwalk.utils.process import prepare_stage

if __name__ == "__main__":
    prepare_stage()

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

from stiltwalk.models.checkpoint import load_encoder, save_checkpoint
from stiltwalk.models.multitask import submodule_weights
from stiltwalk.models.probe_heads import copy_probe_heads, save_probe_head
from stiltwalk.models.resume import TRAINING_CODE, Resume
from stiltwalk.training.accelerator import make_accelerator
from stiltwalk.training.curves import record_curves
from stiltwalk.training.evaluation import Scores
from stiltwalk.training.launch import launch
from stiltwalk.training.memory import out_of_memory_hint
from stiltwalk.training.settings import Settings
from stiltwalk.training.task_data import TaskData
from stiltwalk.training.trainer import TrainingResult, seed_for, train_with_retries
from stiltwalk.utils.files import atomic_dir, write_csv, write_json
from stiltwalk.utils.params import read_params

DATA = Path("data/intermediate")


def main(key: str) -> None:
    seed, step = read_params("seed", f"plan.steps.{key}")
    mixture, start = step["mixture"], Path("models") / step["start"]
    block, options = read_params(f"plan.mixtures.{mixture}.training", f"plan.mixtures.{mixture}.tasks")
    settings = Settings.read(block, f"plan.mixtures.{mixture}.training")
    data = {task: TaskData.read(DATA / mixture / task, task_options) for task, task_options in options.items()}
    inputs = [start / "encoder", DATA / mixture]
    resume = Resume(key, [seed, step["prefix"], block, options], TRAINING_CODE, inputs)
    curves = record_curves(Path("metrics/curves") / key, resume)
    with curves as live, make_accelerator(settings, len(data), live) as accelerator:
        seeds = partial(seed_for, seed, step["prefix"])
        result, cosines = train(accelerator, start / "encoder", data, settings, seeds, key, resume)
        weights = accelerator.get_state_dict(result.model)  # under FSDP the main process gathers all of them
        if accelerator.is_main_process:
            save(key, step, result, weights, data)
            facts = result.scores | result.problems
            write_report(facts, cosines, Path("metrics/steps") / key)
            resume.remove()
            print(f"{key}: validation {describe_scores(result.scores, result.flags)}")


def train(
    accelerator: Accelerator,
    start: Path,
    data: dict[str, TaskData],
    settings: Settings,
    seeds: Callable[[int], int],
    key: str,
    resume: Resume,
) -> tuple[TrainingResult, Mapping[str, list[float]]]:
    """Train the encoder in the folder `start` on all tasks of the step.

    Returns the result, and the cosines of a lexical injection (empty for other tasks).
    """
    load = partial(load_encoder, start, settings.dropout, settings.attention)
    first = next(iter(data.values()))
    with out_of_memory_hint("prediction_tokens", settings):
        if not first.task.freezes_encoder:
            return train_with_retries(accelerator, load, data, settings, seeds, key, resume), {}
        # Such a task is alone in its step. `adapting` inserts its weights into one encoder, so it cannot be retried.
        encoder, once = load(), replace(settings, retries=0)
        set_seed(seeds(0))  # of the weights that `adapting` adds
        with first.task.adapting(accelerator, encoder, first, settings.prediction_tokens) as cosines:
            result = train_with_retries(accelerator, lambda: encoder, data, once, seeds, key, resume)
        return result, cosines  # complete now that the block has ended


def save(
    key: str,
    step: Mapping[str, str],
    result: TrainingResult,
    weights: Mapping[str, torch.Tensor],
    data: Mapping[str, TaskData],
) -> None:
    """Write the checkpoint of the step: the trained encoder, and the probe heads of all steps so far.

    step: its block in params.yaml. weights: of the whole model.
    """
    mixture, start = step["mixture"], Path("models") / step["start"]
    with atomic_dir(Path("models") / key) as folder:
        encoder_weights = submodule_weights(weights, "encoder")
        save_checkpoint(result.model.encoder, encoder_weights, start / "encoder", folder / "encoder", step["dtype"])
        copy_probe_heads(start / "probe_heads", folder / "probe_heads")
        for name, task_data in data.items():
            save_probe_head(
                folder / "probe_heads",
                step=key,
                task=name,
                options=task_data.task.options,
                flag=result.flags.get(name, ""),
                head_weights=submodule_weights(weights, f"heads.{name}"),
                data=DATA / mixture / name,
            )


def describe_scores(scores: Scores, flags: Mapping[str, str]) -> str:
    """Return the scores of every task, followed by its flag if it has one."""
    notes = {task: f" ({flag})" for task, flag in flags.items()}
    return ", ".join(f"{task} {score}{notes.get(task, '')}" for task, score in scores.items())


def write_report(facts: Mapping[str, Any], cosines: Mapping[str, list[float]], report: Path) -> None:
    """Write facts about the training, and the cosines of a lexical injection by hidden state, before and after.

    facts: by task, its validation scores; `flags`, and `attempts` that were given up, if there are any.
    """
    with atomic_dir(report) as folder:
        write_json(facts, folder / "scores.json")
        for name, values in cosines.items():
            write_csv(["layer", "score"], list(enumerate(values)), folder / "cosines" / f"{name}.csv")


if __name__ == "__main__":
    launch(main, *sys.argv[1:])
