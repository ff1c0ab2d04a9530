"""Train one step of the chain: fine-tune the encoder of the previous step on one mixture of intermediate tasks.

    python src/train_step.py 2-squad

The next step takes over only the encoder; optimizer and schedule start from scratch. Every checkpoint also keeps the
heads and validation rows of its own and of all earlier steps (probe heads), which src/retention.py evaluates again.
"""

from stiltwalk.utils.process import prepare_stage

if __name__ == "__main__":
    prepare_stage()

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from stiltwalk.models.checkpoint import load_encoder, save_checkpoint
from stiltwalk.models.multitask import submodule_weights
from stiltwalk.models.probe_heads import copy_probe_heads, save_probe_head
from stiltwalk.models.resume import Resume
from stiltwalk.tasks.base_head import load_task
from stiltwalk.training.accelerator import make_accelerator
from stiltwalk.training.batching import TokenizedRows
from stiltwalk.training.curves import record_curves
from stiltwalk.training.launch import launch
from stiltwalk.training.memory import out_of_memory_hint
from stiltwalk.training.settings import Settings
from stiltwalk.training.task_data import TaskData
from stiltwalk.training.trainer import CODE, seed_for, train_with_retries
from stiltwalk.utils.files import atomic_dir, read_json, write_csv, write_json
from stiltwalk.utils.params import read_params
from stiltwalk.utils.tables import read_table

ROWS, TOKENS = Path("data/intermediate"), Path("data/tokens/intermediate")


def main(key: str) -> None:
    seed, step = read_params("seed", f"plan.steps.{key}")
    mixture, start = step["mixture"], Path("models") / step["init"]
    block, options = read_params(f"plan.mixtures.{mixture}.training", f"plan.mixtures.{mixture}.tasks")
    settings = Settings.read(block, f"plan.mixtures.{mixture}.training")
    for task in options:
        options[task]["labels"] = read_json(TOKENS / mixture / task / "labels.json")
    data = {task: read_task(mixture, task, option) for task, option in options.items()}
    resume = Resume(
        key, [seed, step["prefix"], block, options], CODE, [start / "encoder", ROWS / mixture, TOKENS / mixture]
    )
    curves = record_curves(Path("metrics/curves") / key, resume)
    with curves as live, make_accelerator(settings, len(data), live) as accelerator:
        load = partial(load_encoder, start / "encoder", settings.dropout, settings.attention)
        first = next(iter(data.values()))
        adapting: AbstractContextManager[Mapping[str, list[float]]]
        if first.task.freezes_encoder:  # such a task is alone in its step; what it adds is inserted once, for one try
            encoder, settings = load(), replace(settings, retries=0)
            load = partial(lambda encoder: encoder, encoder)
            adapting = first.task.adapting(accelerator, encoder, first, settings.prediction_tokens)
        else:
            adapting = nullcontext({})
        with out_of_memory_hint("prediction_tokens", settings), adapting as cosines:
            seeds = partial(seed_for, seed, step["prefix"])
            model, scores, problems = train_with_retries(accelerator, load, data, settings, seeds, key, resume)
        weights = accelerator.get_state_dict(model)  # under FSDP the main process gathers all of them
        if accelerator.is_main_process:
            flags = problems.get("flags", {})
            with atomic_dir(Path("models") / key) as folder:
                own = submodule_weights(weights, "encoder")
                save_checkpoint(model.encoder, own, start / "encoder", folder / "encoder", step["dtype"])
                copy_probe_heads(start / "probe_heads", folder / "probe_heads")
                for task, option in options.items():
                    save_probe_head(
                        folder / "probe_heads",
                        key,
                        task,
                        option | {"flag": flags.get(task, "")},
                        submodule_weights(weights, f"heads.{task}"),
                        ROWS / mixture / task,
                        TOKENS / mixture / task,
                    )
            write_report(scores | problems, cosines, Path("metrics/steps") / key)
            resume.remove()
            print(f"{key}: validation " + ", ".join(f"{task} {score}" for task, score in (scores | flags).items()))


def read_task(mixture: str, task: str, options: dict[str, Any]) -> TaskData:
    """Read what one task of a mixture is trained and validated on."""
    tokens = TOKENS / mixture / task
    train, validation = (TokenizedRows.read(tokens / f"{split}.arrow") for split in ("train", "validation"))
    return TaskData(load_task(options), train, read_table(ROWS / mixture / task / "validation.parquet"), validation)


def write_report(scores: Mapping[str, Any], cosines: Mapping[str, list[float]], report: Path) -> None:
    """Write validation scores and flags; of lexical injection also the cosines by hidden state, before and after."""
    with atomic_dir(report) as folder:
        write_json(scores, folder / "scores.json")
        for name, values in cosines.items():
            write_csv(["layer", "score"], list(enumerate(values)), folder / "cosines" / f"{name}.csv")


if __name__ == "__main__":
    launch(main, *sys.argv[1:])
