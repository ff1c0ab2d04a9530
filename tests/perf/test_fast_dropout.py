"""Fast dropout is dropout, in modules and within attention."""

from importlib import import_module

import pytest
import torch
from torch import nn

from stiltwalk.models.architecture import TESTED
from stiltwalk.models.checkpoint import load_encoder
from stiltwalk.models.multitask import MultiTaskModel
from stiltwalk.perf.fast_dropout import (
    FastDropout,
    eager_with_fast_dropout,
    install_fast_dropout,
    sdpa_with_fast_dropout,
)
from toy import tags


class Attention(nn.Module):
    """What transformers hands to an attention function as the module."""

    is_causal = False


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fast_dropout_is_dropout(dtype):
    """It drops a share p and scales the rest, gradients likewise; only the same seed draws the same mask."""
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        x = torch.ones(1001, 99, dtype=dtype, requires_grad=True)
        y = FastDropout(0.1)(x)
        y.sum().backward()
        assert x.grad is not None and torch.equal(x.grad, y)
        assert y[y > 0].unique().tolist() == pytest.approx([1 / 0.9], rel=0.004)
        assert float((y == 0).float().mean()) == pytest.approx(0.1, abs=0.004)
        results.append(y.detach())
    assert torch.equal(results[0], results[1]) and not torch.equal(results[1], results[2])
    assert FastDropout(0.5).eval()(x) is x
    assert torch.equal(FastDropout(0.0)(x), x) and not FastDropout(1.0)(x).any()


@pytest.mark.parametrize("mask", [None, "bool", "float"])
def test_attention_with_dropout_is_attention(mask):
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 7, 8)
    visible = torch.ones(2, 1, 7, 7, dtype=torch.bool)
    visible[1, ..., 5:] = False
    masks = {None: None, "bool": visible, "float": torch.zeros(2, 1, 7, 7).masked_fill(~visible, -1e9)}
    expected = nn.functional.scaled_dot_product_attention(query, key, value, masks[mask]).transpose(1, 2)

    def attend(dropout: float) -> torch.Tensor:
        return sdpa_with_fast_dropout(Attention(), query, key, value, masks[mask], dropout=dropout)[0]

    mean = sum(attend(0.3) for _ in range(4000)) / 4000
    torch.testing.assert_close(attend(1e-9), expected, rtol=0, atol=1e-6)
    assert torch.equal(attend(0.0), expected)
    torch.testing.assert_close(mean, expected, rtol=0, atol=0.06)


@pytest.mark.parametrize("model_type", [name for name, tested in TESTED.items() if tested.fast_eager])
def test_eager_attention_is_that_of_the_model(model_type):
    name = model_type.replace("-", "_")
    theirs = import_module(f"transformers.models.{name}.modeling_{name}").eager_attention_forward
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 7, 8)
    mask = torch.zeros(2, 1, 7, 7)
    mask[1, ..., 5:] = torch.finfo(torch.float32).min
    for options in ({}, {"scaling": 0.5}, {"dropout": 0.3}):
        module = Attention().eval()
        expected, ours = (
            attend(module, query, key, value, mask, **options) for attend in (theirs, eager_with_fast_dropout)
        )
        assert all(torch.equal(a, b) for a, b in zip(expected, ours, strict=True))
    mean = sum(
        eager_with_fast_dropout(Attention().train(), query, key, value, mask, dropout=0.3)[0] for _ in range(4000)
    )
    torch.testing.assert_close(mean / 4000, theirs(Attention(), query, key, value, mask)[0], rtol=0, atol=0.06)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_it_is_installed_in_encoder_heads_and_attention_and_removed_again(toy_folder, subwords, attention):
    encoder, data = load_encoder(toy_folder, dropout=0.2, attention=attention), tags(8, subwords)
    model = MultiTaskModel(encoder, {"tags": data.task.make_head(encoder, 0.2)}).train()
    modules, names = dict(model.named_modules()), list(model.state_dict())
    torch_functions = nn.functional.dropout, nn.functional.scaled_dot_product_attention
    dropped = sum(type(module) is nn.Dropout for module in modules.values())
    with install_fast_dropout(model):
        kinds = [type(module) for module in model.modules()]
        assert kinds.count(FastDropout) == dropped == 8 and nn.Dropout not in kinds
        assert encoder.config._attn_implementation == f"{attention}_fast_dropout"
        assert list(model.state_dict()) == names
    assert dict(model.named_modules()) == modules and encoder.config._attn_implementation == attention
    assert (nn.functional.dropout, nn.functional.scaled_dot_product_attention) == torch_functions


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_in_evaluation_mode_the_encoder_computes_the_same(toy_folder, subwords, attention):
    encoder, data = load_encoder(toy_folder, dropout=0.2, attention=attention), tags(20, subwords)
    model = MultiTaskModel(encoder, {"tags": data.task.make_head(encoder, 0.2)}).eval()
    batch = data.train.tensors(range(20), encoder.config.pad_token_id)
    inputs = "tags", batch["input_ids"], batch["attention_mask"]
    expected = model(*inputs)
    with install_fast_dropout(model):
        assert torch.equal(model(*inputs), expected)
        assert not torch.equal(model.train()(*inputs), expected)
