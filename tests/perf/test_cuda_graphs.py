"""Passes on a GPU that are recorded. On a GPU: CUDA_VISIBLE_DEVICES=0 pytest tests/perf/test_cuda_graphs.py."""

from collections import Counter
from itertools import product
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from stiltwalk.models.checkpoint import load_encoder
from stiltwalk.perf.cuda_graphs import RecordedPasses, Recording
from stiltwalk.training import trainer
from toy import choices, fit, masked_words, nli, tags

ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that the tests may see")


class ReplayedPasses(RecordedPasses):
    """On a CPU, runs the pass itself on the tensors of the recording instead of replaying a graph."""

    recorded: ClassVar[Counter[str]] = Counter()

    def _record(self, name, batch, divisor):
        self.recorded[name] += 1
        if torch.cuda.is_available():
            return super()._record(name, batch, divisor)
        inputs = {column: values.clone() for column, values in batch.items()}
        divisor_input, loss = divisor.clone(), divisor * 0
        graph = SimpleNamespace(replay=lambda: loss.copy_(self.run(name, inputs, divisor_input)))
        return Recording(graph, inputs, divisor_input, loss)  # type: ignore[arg-type]


FAST = [
    (nli, "no", "eager"),
    (nli, "bf16", "sdpa"),
    (tags, "no", "sdpa"),
    (choices, "no", "eager"),
    (masked_words, "no", "sdpa"),
]
CASES = [
    pytest.param(*case, marks=ON_GPU if case[1] == "fp16" else () if case in FAST else pytest.mark.slow)
    for case in product((nli, tags, choices, masked_words), ("no", "bf16", "fp16"), ("sdpa", "eager"))
]


@pytest.mark.parametrize(("rows", "precision", "attention"), CASES)
def test_recorded_passes_train_like_passes_that_are_launched_kernel_by_kernel(
    toy_folder, subwords, monkeypatch, rows, precision, attention
):
    """Two tasks in turn, with micro-batches of several shapes; a head decays only in the steps of its own task."""
    encoder = load_encoder(toy_folder, dropout=0.0, attention=attention)
    data = {"one": rows(64, subwords), "two": tags(64, subwords)}
    monkeypatch.setattr(trainer, "PADDING_MULTIPLE", 4)
    monkeypatch.setattr(trainer, "RecordedPasses", ReplayedPasses)
    monkeypatch.setattr(trainer, "can_record_passes", lambda *_: True)
    changes = {"epochs": 4, "mixed_precision": precision, "micro_batch_tokens": 40, "weight_decay": 10.0}
    plain, scores = fit(encoder, data, cuda_graphs=False, **changes)
    assert not ReplayedPasses.recorded
    recorded, recorded_scores = fit(encoder, data, cuda_graphs=True, **changes)
    assert ReplayedPasses.recorded["two"] > 2
    assert (ReplayedPasses.recorded["one"] > 0) == (rows is not masked_words)
    ReplayedPasses.recorded.clear()
    apart = moved = 0.0
    for name, weight in plain.items():
        before = encoder.state_dict().get(name.removeprefix("encoder."), torch.zeros(()))
        apart += (recorded[name] - weight).norm().item() ** 2
        moved += (weight.cpu() - before).norm().item() ** 2
    assert apart < moved * ({"no": 0.01, "bf16": 0.3, "fp16": 0.1}[precision]) ** 2
    for task, score in scores.items():
        for metric, value in score.items():
            assert abs(recorded_scores[task][metric] - value) < 20, (task, metric)


@ON_GPU
def test_every_replay_draws_new_dropout():
    model = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(64, 1)).cuda()

    def run(name, batch, divisor):
        loss = model(batch["input_ids"]).sum() / divisor
        loss.backward()
        return loss.detach()

    passes = RecordedPasses(model.parameters(), run)
    losses = [passes("task", {"input_ids": torch.ones(4, 64, device="cuda")}, 2.0).item() for _ in range(12)]
    assert len(passes.recordings) == 1 and len(set(losses)) == 12
