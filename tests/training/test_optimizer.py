"""Which weights AdamW decays."""

import pytest
from torch import nn

from stiltwalk.models.multitask import MultiTaskModel
from stiltwalk.tasks.base_head import load_task
from stiltwalk.training.optimizer import make_optimizer
from stiltwalk.training.settings import Settings
from toy import SETTINGS


@pytest.mark.parametrize("kind", ["pair", "mlm"])
def test_biases_and_layer_norms_are_not_decayed(encoder, kind):
    head = load_task({"kind": kind, "labels": ["a", "b"], "max_length": 8, "mask": 0.15}).make_head(encoder, 0.0)
    model = MultiTaskModel(encoder, {"task": head})
    optimizer, _ = make_optimizer(model, Settings.read(SETTINGS | {"weight_decay": 0.1}, ""), 10)
    norms = {id(module.weight) for module in model.modules() if isinstance(module, nn.LayerNorm)}
    for group in optimizer.param_groups:
        for weight in group["params"]:
            assert (group["weight_decay"] == 0) == (weight.dim() == 1), "matrices are decayed, and nothing else"
            assert id(weight) not in norms or group["weight_decay"] == 0
    assert len(norms) > 1
