"""One step of the chain: train the encoder of the step before on one mixture of intermediate tasks.

    python src/intermediate.py 2-squad

Only the encoder goes on to the next step. The heads are kept beside it; optimizer and schedule start anew.
"""

import sys
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from common.stage import read_params, whole_folder, write_json
from common.tables import labels_of, read_table
from modeling.encoder import load_encoder, save_encoder
from training.launch import launch
from training.loop import Data, accelerating, recording, seed_of, train
from training.model import save_heads
from training.settings import Settings


def main(key: str) -> None:
    seed, step = read_params("seed", f"chain.{key}")
    block, options = read_params(f"mixtures.{step['mixture']}.training", f"mixtures.{step['mixture']}.tasks")
    settings = Settings.read(block, f"mixtures.{step['mixture']}.training")
    encoder, tokenizer = load_encoder(Path(step["init"]), settings.dropout, settings.attention)
    data, tables = {}, {}
    for task, option in options.items():
        rows = Path("data/intermediate") / step["mixture"] / task
        table, validation = (read_table(rows / f"{split}.parquet", option["kind"]) for split in ("train", "validation"))
        labels = option["labels"] or labels_of(table, option["kind"])
        kind = import_module(f"kinds.{option['kind']}").Kind(option | {"labels": labels}, tokenizer)
        data[task] = Data(kind, kind.encode(table, True), validation, kind.encode(validation, True))
        tables[task] = {"seen": table, "unseen": validation}

    curves = recording(Path("metrics/curves") / key)
    with curves as live, accelerating(settings, len(data), live) as accelerator:
        around: Any = nullcontext()
        if options[task]["kind"] == "lexical":  # such a task is alone in its step
            layers = Path("metrics/layers") / key
            around = kind.injecting(accelerator, encoder, tables[task], settings.prediction_tokens, layers)
        with around:
            model, scores = train(accelerator, encoder, data, settings, seed_of(seed, step["mixture"]), key)
        if accelerator.is_main_process:
            with whole_folder(Path("models") / key) as folder:
                save_encoder(model.encoder, tokenizer, folder / "encoder")
                save_heads(model.heads, folder / "heads")
            write_json(scores, Path("metrics/steps") / f"{key}.json")
        accelerator.print(f"{key}: validation " + ", ".join(f"{task} {score}" for task, score in scores.items()))


if __name__ == "__main__":
    launch(main, *sys.argv[1:])
