"""Tatoeba accuracy of a checkpoint at every hidden state, before any target is tuned.

python src/trajectory.py 2-squad     (0-encoder: the pretrained encoder)
"""

from stiltwalk.utils.process import prepare_stage

if __name__ == "__main__":
    prepare_stage()

import sys
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stiltwalk.models.checkpoint import load_encoder
from stiltwalk.tasks.retrieval.search.task import Task
from stiltwalk.training.accelerator import make_accelerator
from stiltwalk.training.batching import TokenizedRows
from stiltwalk.training.launch import launch
from stiltwalk.training.memory import out_of_memory_hint
from stiltwalk.training.settings import PredictionSettings
from stiltwalk.utils.files import write_csv
from stiltwalk.utils.params import read_params

LABELS, DATA = Path("data/labels/tatoeba"), Path("data/xtreme/tatoeba")


def main(key: str) -> None:
    block, options = read_params("plan.prediction", "plan.targets.tatoeba.task")
    settings, task = PredictionSettings.read(block, "plan.prediction"), Task(options)
    encoder = load_encoder(Path("models") / key / "encoder", attention=settings.attention)
    layers, accuracies = range(encoder.config.num_hidden_layers + 1), []
    with make_accelerator(settings) as accelerator, out_of_memory_hint("prediction_tokens", settings):
        encoder.to(accelerator.device)  # type: ignore[arg-type]
        begin = time.perf_counter()
        hide = not accelerator.is_main_process
        for path in tqdm(sorted(LABELS.glob("test-*.tsv")), "tatoeba", unit="language", disable=hide):
            gold = np.array([int(line) for line in path.read_text(encoding="utf-8").split()])
            pairs = TokenizedRows.read(DATA / f"{path.stem}.arrow")
            language = path.stem.removeprefix("test-")
            answers = task.nearest(accelerator, encoder, pairs, language, settings.prediction_tokens, layers)
            accuracies.append([float(np.mean(np.array(answer) == gold)) for answer in answers])
        seconds = time.perf_counter() - begin
        scores = [round(100 * score, 4) for score in np.mean(accuracies, axis=0).tolist()]
        if accelerator.is_main_process:
            points = [[key, layer, score] for layer, score in enumerate(scores)]
            write_csv(["step", "layer", "score"], points, Path("metrics/probes/trajectory") / f"{key}.csv")
        accelerator.print(f"{key}: predicted {len(accuracies)} languages in {seconds:.1f} s")
        accelerator.print(f"{key}: tatoeba by hidden state {' '.join(f'{score:.1f}' for score in scores)}")


if __name__ == "__main__":
    launch(main, *sys.argv[1:])
