"""One step of the chain: train the encoder of the step before on one mixture of intermediate tasks.

    python src/intermediate.py 2-squad

Only the encoder goes on to the next step; optimizer and schedule start anew. Beside the encoder every checkpoint keeps
the heads and validation rows of its own step and of those before, by which src/probe.py evaluates them again.
"""

import json
import shutil
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from stiltwalk.models.checkpoint import load_encoder, save_checkpoint
from stiltwalk.models.multitask import part_of
from stiltwalk.models.probe_heads import keep_task
from stiltwalk.models.resume import Resume
from stiltwalk.tasks.tables import read_table
from stiltwalk.training.batching import Encoded
from stiltwalk.training.launch import launch
from stiltwalk.training.memory import fitting
from stiltwalk.training.settings import Settings
from stiltwalk.training.trainer import CODE, Data, accelerating, recording, seed_of, train_soundly
from stiltwalk.utils.stage import read_params, whole_folder, write_json

ROWS = ("data/intermediate", "data/encoded/intermediate")


def main(key: str) -> None:
    seed, step = read_params("seed", f"chain.{key}")
    block, options = read_params(f"mixtures.{step['mixture']}.training", f"mixtures.{step['mixture']}.tasks")
    settings = Settings.read(block, f"mixtures.{step['mixture']}.training")
    data, places = {}, {}
    for task, option in options.items():
        rows, encoded = (Path(folder) / step["mixture"] / task for folder in ROWS)
        option |= {"labels": json.loads((encoded / "labels.json").read_text(encoding="utf-8"))}
        places[task] = option, rows, encoded
        kind = import_module(f"kinds.{option['kind']}").Kind(option)
        validation = read_table(rows / "validation.parquet", option["kind"])
        train_rows, validation_rows = (Encoded.read(encoded / f"{split}.arrow") for split in ("train", "validation"))
        data[task] = Data(kind, train_rows, validation, validation_rows)

    init, mixture = Path(step["init"]), step["mixture"]
    read = [init, *(Path(folder) / mixture for folder in ROWS)]
    resume = Resume(key, [seed, step["prefix"], block, options], CODE, read)
    curves = recording(Path("metrics/curves") / key, resume)
    with curves as live, accelerating(settings, len(data), live) as accelerator:
        load = partial(load_encoder, init, settings.dropout, settings.attention)
        around: Any = nullcontext()
        if any(option["kind"] == "lexical" for option in options.values()):
            (alone,) = data.values()  # in its step, as such a task is
            injected: Any = alone.kind
            encoder, settings = load(), replace(settings, retries=0)  # weights are put in once, for one try
            pairs = {"seen": alone.train, "unseen": alone.validation}
            around = injected.injecting(accelerator, encoder, pairs, settings.prediction_tokens, Path(step["layers"]))
            load = partial(lambda encoder: encoder, encoder)
        with fitting("prediction_tokens", settings), around:
            seeds = partial(seed_of, seed, step["prefix"])
            model, scores, wrong = train_soundly(accelerator, load, data, settings, seeds, key, resume)
        flags = wrong.get("flags", {})
        weights = accelerator.get_state_dict(model)  # where each process has a part (FSDP), the main one gets all
        if accelerator.is_main_process:
            with whole_folder(Path("models") / key) as folder:
                own = part_of(weights, "encoder")
                save_checkpoint(model.encoder, own, init, folder / "encoder", step["weights"])
                if Path(step["kept"]).is_dir():
                    shutil.copytree(step["kept"], folder / "kept")
                for task, (option, rows, encoded) in places.items():
                    option |= {"flag": flags.get(task, "")}
                    keep_task(folder / "kept" / key / task, option, part_of(weights, f"heads.{task}"), rows, encoded)
            write_json(scores | wrong, Path("metrics/steps") / f"{key}.json")
            resume.remove()
        found = scores | flags
        accelerator.print(f"{key}: validation " + ", ".join(f"{task} {told}" for task, told in found.items()))


if __name__ == "__main__":
    launch(main, *sys.argv[1:])
