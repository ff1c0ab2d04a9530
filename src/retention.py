"""How well the encoder after a step still does the tasks of all steps so far.

    python src/retention.py 2-squad

Each task is evaluated on its validation rows, under the head that its step left in the checkpoint (probe heads).
"""

from stiltwalk.utils.process import prepare_stage

if __name__ == "__main__":
    prepare_stage()

import sys
import time
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from tqdm import tqdm
from transformers import PreTrainedModel

from stiltwalk.models.checkpoint import load_encoder
from stiltwalk.models.multitask import MultiTaskModel
from stiltwalk.models.probe_heads import ProbeHead, read_probe_heads
from stiltwalk.tasks.base_head import load_task
from stiltwalk.training.accelerator import make_accelerator
from stiltwalk.training.evaluation import Scores, predict
from stiltwalk.training.launch import launch
from stiltwalk.training.memory import out_of_memory_hint
from stiltwalk.training.settings import PredictionSettings
from stiltwalk.utils.files import write_json
from stiltwalk.utils.params import read_params

ScoresByStep = dict[str, Scores]


def main(key: str) -> None:
    settings = PredictionSettings.read(read_params("plan.prediction"), "plan.prediction")
    checkpoint = Path("models") / key
    probe_heads = read_probe_heads(checkpoint / "probe_heads")
    encoder = load_encoder(checkpoint / "encoder", attention=settings.attention)
    with make_accelerator(settings) as accelerator, out_of_memory_hint("prediction_tokens", settings):
        encoder.to(accelerator.device)  # type: ignore[arg-type]
        begin = time.perf_counter()
        scores = evaluate_probe_heads(accelerator, encoder, probe_heads, settings)
        seconds = time.perf_counter() - begin
        if accelerator.is_main_process:
            flags = {head.task: head.flag for head in probe_heads if head.step == key and head.flag}
            report: dict[str, Any] = {"retention": scores, "flags": flags}
            write_json(report, Path("metrics/probes/retention") / f"{key}.json")
        accelerator.print(f"{key}: predicted with {len(probe_heads)} heads in {seconds:.1f} s")
        for step, tasks in scores.items():
            for task, metrics in tasks.items():
                numbers = ", ".join(f"{name} {value:.1f}" for name, value in metrics.items())
                accelerator.print(f"{key}: {task}, trained in step {step}: {numbers}")


def evaluate_probe_heads(
    accelerator: Accelerator, encoder: PreTrainedModel, probe_heads: list[ProbeHead], settings: PredictionSettings
) -> ScoresByStep:
    """Return scores by step and task."""
    scores: ScoresByStep = {}
    for probe in tqdm(probe_heads, "probe heads", unit="head", disable=not accelerator.is_main_process):
        task = load_task(probe.options)
        head = task.make_head(encoder, 0.0)
        head.load_state_dict(probe.weights)
        model = MultiTaskModel(encoder, {probe.task: head}).to(accelerator.device)
        predictions = predict(accelerator, model, probe.task, task, probe.tokens, probe.rows, settings)
        scores.setdefault(probe.step, {})[probe.task] = task.evaluate(predictions, probe.rows)
    return scores


if __name__ == "__main__":
    launch(main, *sys.argv[1:])
