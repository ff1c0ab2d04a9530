"""Passes on a GPU that are recorded: CUDA_VISIBLE_DEVICES=0 pytest tests/test_graphs.py."""

from collections import Counter
from itertools import product
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from test_loop import choices, fit, nli, tags, texts

from stiltwalk.models.checkpoint import load_encoder
from stiltwalk.perf.cuda_graphs import Recorded, Recording
from stiltwalk.training import trainer as loop

ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that the tests may see")


def test_padding_goes_to_a_multiple_but_not_beyond_the_longest_row(tokens):
    rows = tags(20, tokens).train
    short, longest = int(rows.lengths.argmin()), int(rows.lengths.max())
    batch = rows.tensors([short], 1, multiple=8)
    assert batch["input_ids"].shape == batch["labels"].shape == (1, 8)
    assert int(batch["attention_mask"].sum()) == rows.lengths[short]
    assert rows.tensors([short], 1, multiple=64)["input_ids"].shape == (1, longest)
    assert torch.equal(rows.tensors([short], 1)["input_ids"][0], batch["input_ids"][0, : rows.lengths[short]])


def test_rows_are_counted_by_what_their_sequences_are_padded_to(tokens):
    one, several = tags(20, tokens).train, choices(20, tokens).train
    assert np.array_equal(one.padded_to(4), np.ceil(one.lengths / 4) * 4)
    assert set(several.padded_to(4) % 12) == {0} and (several.padded_to(4) >= several.lengths).all()
    assert np.array_equal(several.padded_to(1), several.lengths)  # so that nothing changes where nothing is padded


class Replayed(Recorded):
    """Instead of a graph, the pass itself on the recording's tensors: what is recorded but for CUDA, on a CPU."""

    recorded: ClassVar[Counter[str]] = Counter()

    def _record(self, task, batch, divisor):
        self.recorded[task] += 1
        if torch.cuda.is_available():
            return super()._record(task, batch, divisor)
        inputs, divided, loss = {name: values.clone() for name, values in batch.items()}, divisor.clone(), divisor * 0
        graph = SimpleNamespace(replay=lambda: loss.copy_(self.run(task, inputs, divided)))
        return Recording(graph, inputs, divided, loss)  # type: ignore[arg-type]


FAST = [
    (nli, "no", "eager"),
    (nli, "bf16", "sdpa"),
    (tags, "no", "sdpa"),
    (choices, "no", "eager"),
    (texts, "no", "sdpa"),
]
CASES = [
    pytest.param(*case, marks=ON_GPU if case[1] == "fp16" else () if case in FAST else pytest.mark.slow)
    for case in product((nli, tags, choices, texts), ("no", "bf16", "fp16"), ("sdpa", "eager"))
]


@pytest.mark.parametrize(("rows", "precision", "attention"), CASES)
def test_it_is_the_training_that_is_launched_kernel_by_kernel(
    toy_folder, tokens, monkeypatch, rows, precision, attention
):
    """Two tasks in turn, steps in parts of several shapes; a head decays in the steps of its own task alone."""
    encoder = load_encoder(toy_folder, dropout=0.0, attention=attention)
    data = {"one": rows(64, tokens), "two": tags(64, tokens)}
    monkeypatch.setattr(loop, "WIDTH", 4)
    monkeypatch.setattr(loop, "Recorded", Replayed)
    monkeypatch.setattr(loop, "recordable", lambda *_: True)
    changes = {"epochs": 4, "mixed_precision": precision, "micro_batch_tokens": 40, "weight_decay": 10.0}
    plain, scores = fit(encoder, data, cuda_graphs=False, **changes)
    assert not Replayed.recorded
    recorded, again = fit(encoder, data, cuda_graphs=True, **changes)
    assert Replayed.recorded["two"] > 2 and (Replayed.recorded["one"] > 0) == (rows is not texts)
    Replayed.recorded.clear()
    apart = moved = 0.0
    for name, weight in plain.items():
        before = encoder.state_dict().get(name.removeprefix("encoder."), torch.zeros(()))
        apart += (recorded[name] - weight).norm().item() ** 2
        moved += (weight.cpu() - before).norm().item() ** 2
    assert apart < moved * ({"no": 0.01, "bf16": 0.3, "fp16": 0.1}[precision]) ** 2
    for task, found in scores.items():
        for name, value in found.items():
            assert abs(again[task][name] - value) < 20, (task, name)


@ON_GPU
def test_dropout_is_drawn_anew_every_time():
    model = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(64, 1)).cuda()

    def run(task, batch, divisor):
        loss = model(batch["input_ids"]).sum() / divisor
        loss.backward()
        return loss.detach()

    recorded = Recorded(model.parameters(), run)
    losses = [recorded("task", {"input_ids": torch.ones(4, 64, device="cuda")}, 2.0).item() for _ in range(12)]
    assert len(recorded.recordings) == 1 and len(set(losses)) == 12
