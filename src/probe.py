"""What the encoder after a step still knows, before any target is tuned.

The tasks of all steps so far, each under the head that was kept of it, and retrieval by every hidden state.

    python src/probe.py 2-squad     (0-encoder: the encoder as it was pretrained)

metrics/probes/<step>.json holds what this probe found and, before it, all that the earlier steps' probes did.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from safetensors.torch import load_file
from tqdm import tqdm
from transformers import PreTrainedModel

from stiltwalk.models.checkpoint import load_encoder
from stiltwalk.models.multitask import MultiTaskModel
from stiltwalk.models.probe_heads import HEAD, OPTIONS, ROWS
from stiltwalk.tasks.tables import read_table
from stiltwalk.training.batching import Encoded
from stiltwalk.training.launch import launch
from stiltwalk.training.memory import fitting
from stiltwalk.training.settings import Settings
from stiltwalk.training.trainer import accelerating, predict
from stiltwalk.utils.stage import read_params, write_csv, write_json


def main(key: str) -> None:
    probe = read_params(f"probes.{key}")
    settings = Settings.read(probe["training"], f"probes.{key}.training")
    encoder = load_encoder(Path(probe["checkpoint"]), settings.dropout, settings.attention)
    before = Path(probe["before"])
    found = json.loads(before.read_text(encoding="utf-8")) if before.suffix == ".json" else {}
    with accelerating(settings) as accelerator, fitting("prediction_tokens", settings):
        encoder.to(accelerator.device)  # type: ignore[arg-type]
        kept = retained(accelerator, encoder, Path(probe["kept"]), settings)
        layers = retrieved(accelerator, encoder, probe["task"], settings) if probe["task"] else []
        if accelerator.is_main_process:
            own = {"retention": kept, "retrieval": layers, "flags": flagged(Path(probe["kept"]) / key)}
            write_json(found | {key: own}, Path("metrics/probes") / f"{key}.json")
            points = ([key, i, score] for i, score in enumerate(layers))
            write_csv(["step", "layer", "score"], points, Path("metrics/trajectory") / f"{key}.csv")
        parts = [f"{step} {scores}" for step, scores in kept.items()]
        parts += [f"tatoeba by hidden state {' '.join(f'{score:.1f}' for score in layers)}"] if layers else []
        accelerator.print(f"{key}: {', '.join(parts)}")


def flagged(folder: Path) -> dict[str, str]:
    """What was wrong with the step's own training, by task."""
    files = sorted(folder.glob(f"*/{OPTIONS}"))
    flags = {path.parent.name: json.loads(path.read_text(encoding="utf-8"))["flag"] for path in files}
    return {task: flag for task, flag in flags.items() if flag}


def retained(
    accelerator: Accelerator, encoder: PreTrainedModel, folder: Path, settings: Settings
) -> dict[str, dict[str, dict[str, float]]]:
    """By step and task: the scores on the kept validation rows, on this encoder under the kept head."""
    scores: dict[str, dict[str, dict[str, float]]] = {}
    if not folder.is_dir():
        return scores
    for place in tqdm(sorted(folder.glob("*/*")), "kept tasks", unit="task", disable=not accelerator.is_main_process):
        options = json.loads((place / OPTIONS).read_text(encoding="utf-8"))
        kind = import_module(f"kinds.{options['kind']}").Kind(options)
        head = kind.head(encoder, 0.0)
        head.load_state_dict(load_file(place / HEAD))
        table, rows = read_table(place / ROWS[0], options["kind"]), Encoded.read(place / ROWS[1])
        model = MultiTaskModel(encoder, {place.name: head}).to(accelerator.device)
        predictions = predict(accelerator, model, place.name, kind, rows, table, settings)
        scores.setdefault(place.parent.name, {})[place.name] = kind.evaluate(predictions, table)
    return dict(sorted(scores.items(), key=lambda item: int(item[0].split("-")[0])))


def retrieved(
    accelerator: Accelerator, encoder: PreTrainedModel, options: dict[str, Any], settings: Settings
) -> list[float]:
    """Tatoeba's accuracy (mean over the languages, 0 to 100) by each hidden state, the embeddings' first."""
    kind = import_module("stiltwalk.tasks.retrieval.search").Kind(options)
    layers = range(encoder.config.num_hidden_layers + 1)
    right = []
    for path in sorted(Path("data/labels/tatoeba").glob("test-*.tsv")):
        gold = np.array([int(line) for line in path.read_text(encoding="utf-8").split()])
        pairs = Encoded.read(Path("data/encoded/xtreme/tatoeba") / f"{path.stem}.arrow")
        answers = kind.nearest(accelerator, encoder, pairs, settings.prediction_tokens, layers)
        right.append([float(np.mean(np.array(answer) == gold)) for answer in answers])
    return [round(100 * score, 4) for score in np.mean(right, axis=0).tolist()]


if __name__ == "__main__":
    launch(main, *sys.argv[1:])
