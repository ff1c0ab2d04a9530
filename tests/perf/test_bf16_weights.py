"""Training in bfloat16 with weights that are rounded once per pass."""

import contextlib

import pytest
import torch
from torch import nn

from stiltwalk.models.checkpoint import load_encoder
from stiltwalk.models.multitask import MultiTaskModel
from stiltwalk.perf.bf16_weights import Bf16LayerNorm, Bf16Linear, install_bf16_weights
from toy import tags


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_passes_in_bfloat16_have_the_gradients_of_float32_but_for_rounding(
    toy_folder, subwords, attention, checkpointing
):
    """For every weight that is used; the others have no gradient."""
    encoder = load_encoder(toy_folder, dropout=0.0, attention=attention)
    if checkpointing:
        encoder.activation_checkpointing_enable()
    data = tags(32, subwords)
    heads = {"tags": data.task.make_head(encoder, 0.0), "other": data.task.make_head(encoder, 0.0)}
    model = MultiTaskModel(encoder, heads).train()
    batch = data.train.tensors(range(32), encoder.config.pad_token_id)
    gradients = []
    for rounds in (False, True):
        model.zero_grad()
        with (
            install_bf16_weights(encoder) if rounds else contextlib.nullcontext(),
            torch.autocast("cpu", torch.bfloat16, enabled=rounds),
        ):
            logits = model("tags", batch["input_ids"], batch["attention_mask"])
            data.task.loss(logits.float(), batch).backward()
        gradients.append({name: weight.grad for name, weight in model.named_parameters()})
        assert logits.dtype == (torch.bfloat16 if rounds else torch.float32)
    for name, exact in gradients[0].items():
        gradient = gradients[1][name]
        if exact is None:
            assert gradient is None
        else:
            assert gradient is not None and gradient.dtype == torch.float32
            error = (gradient - exact).norm() / exact.norm().clamp(min=1e-3)
            assert error < 0.05, f"{name}: {error}"
    assert sum(gradient is None for gradient in gradients[1].values()) == 2


def test_the_encoder_keeps_its_class_its_parameters_and_their_names(encoder):
    modules = dict(encoder.named_modules())
    parameters, kind = dict(encoder.named_parameters()), type(encoder)
    encoder.train()
    with install_bf16_weights(encoder):
        assert type(encoder) is kind and list(encoder.state_dict()) == list(parameters)
        assert all(weight is parameters[name] for name, weight in encoder.named_parameters())
        kinds = {type(module) for module in encoder.modules()}
        assert {Bf16Linear, Bf16LayerNorm} <= kinds and not {nn.Linear, nn.LayerNorm} & kinds
        encoder.eval()
    assert dict(encoder.named_modules()) == modules
    assert not any(module.training for module in encoder.modules())
    assert not encoder._forward_hooks and not encoder._forward_pre_hooks
    assert not any("forward" in vars(module) for module in encoder.modules())


def test_in_evaluation_mode_the_encoder_computes_in_float32(encoder):
    ids = torch.tensor([[0, 5, 6, 2]])
    expected = encoder.eval()(ids).last_hidden_state
    with install_bf16_weights(encoder):
        assert torch.equal(encoder(ids).last_hidden_state, expected)
        rounded = encoder.train()(ids).last_hidden_state
        assert not torch.equal(rounded, expected) and torch.equal(rounded.bfloat16().float(), rounded)
        assert torch.equal(encoder.eval()(ids).last_hidden_state, expected)


def test_autocast_goes_on_after_a_pass_that_failed(encoder):
    encoder.train()
    with install_bf16_weights(encoder), torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(IndexError):
            encoder(torch.tensor([[0, 10_000]]))
        assert torch.is_autocast_enabled("cpu")
