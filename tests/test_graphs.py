"""Passes on a GPU that are recorded: CUDA_VISIBLE_DEVICES=0 pytest tests/test_graphs.py."""

import pytest
import torch

from test_loop import choices, fit, nli, tags, texts
from training.graphs import Recorded

ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that the tests may see")


def test_padding_goes_to_a_multiple_but_not_beyond_the_longest_row(tokens):
    rows = tags(20, tokens).train
    short, longest = int(rows.lengths.argmin()), int(rows.lengths.max())
    batch = rows.tensors([short], 1, multiple=8)
    assert batch["input_ids"].shape == batch["labels"].shape == (1, 8)
    assert int(batch["attention_mask"].sum()) == rows.lengths[short]
    assert rows.tensors([short], 1, multiple=64)["input_ids"].shape == (1, longest)
    assert torch.equal(rows.tensors([short], 1)["input_ids"][0], batch["input_ids"][0, : rows.lengths[short]])


@ON_GPU
@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
@pytest.mark.parametrize("rows", [nli, tags, choices, texts])
def test_it_is_the_training_that_is_launched_kernel_by_kernel(encoder, tokens, monkeypatch, rows, precision):
    """Two tasks, in micro-batches of several shapes."""
    data = {"one": rows(64, tokens), "nli": nli(64, tokens)}
    played = []
    call = Recorded.__call__

    def counted(self, *given):
        played.append(len(self.recordings))
        return call(self, *given)

    monkeypatch.setattr(Recorded, "__call__", counted)
    changes = {"epochs": 4, "dropout": 0.0, "mixed_precision": precision, "micro_batch_tokens": 256}
    plain, scores = fit(encoder, data, cuda_graphs=False, **changes)
    assert not played
    recorded, again = fit(encoder, data, cuda_graphs=True, **changes)
    assert len(played) > 20 and played[-1] >= 1
    apart = moved = 0.0
    for name, weight in encoder.named_parameters():
        one, two = (weights[f"encoder.{name}"].cpu() - weight.detach() for weights in (plain, recorded))
        apart, moved = apart + (one - two).norm().item() ** 2, moved + one.norm().item() ** 2
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
