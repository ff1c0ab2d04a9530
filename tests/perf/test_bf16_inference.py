"""Prediction in bfloat16."""

import contextlib
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from stiltwalk.models.multitask import MultiTaskModel
from stiltwalk.perf.bf16_inference import inference_forward
from stiltwalk.perf.prepacked_linears import PrepackedLinear, install_prepacked_linears
from toy import nli


def test_prediction_in_bfloat16_leaves_the_weights_unchanged(encoder, subwords):
    data = nli(8, subwords)
    model = MultiTaskModel(encoder, {"nli": data.task.make_head(encoder, 0.1)})
    batch = data.train.tensors(range(8), encoder.config.pad_token_id)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modules, logits = dict(model.named_modules()), {}
    for precision in ("no", "bf16"):
        accelerator = SimpleNamespace(
            mixed_precision=precision, autocast=contextlib.nullcontext, device=torch.device("cpu"), is_fsdp2=False
        )
        with inference_forward(accelerator, model) as forward:
            logits[precision] = forward("nli", batch["input_ids"], batch["attention_mask"])
    assert logits["bf16"].dtype == torch.bfloat16
    torch.testing.assert_close(logits["bf16"].float(), logits["no"], rtol=0.05, atol=0.02)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert dict(model.named_modules()) == modules


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no bfloat16 instructions")
@pytest.mark.parametrize("bias", [True, False])
def test_a_prepacked_layer_multiplies_by_the_same_weights(bias):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(32, 16, bias=bias), nn.ReLU()), torch.randn(5, 32)
    expected = model(x)
    with torch.inference_mode(), install_prepacked_linears(model):
        assert type(model[0]) is PrepackedLinear
        torch.testing.assert_close(model(x.bfloat16()).float(), expected.detach(), rtol=0.02, atol=0.02)
    assert type(model[0]) is nn.Linear


def test_without_bfloat16_instructions_nothing_is_packed(monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    model = nn.Sequential(nn.Linear(4, 4))
    with install_prepacked_linears(model):
        assert type(model[0]) is nn.Linear
