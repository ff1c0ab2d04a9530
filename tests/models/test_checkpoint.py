"""Checkpoints of a trained encoder."""

import copy

import torch

from stiltwalk.models.checkpoint import load_encoder, save_checkpoint
from stiltwalk.tasks.base_data.row_tokenizer import SubwordTokenizer


def test_a_checkpoint_in_bfloat16_is_half_as_large_and_loads_in_float32(encoder, toy_folder, tmp_path):
    sizes, weights = [], []
    for dtype in ("float32", "bfloat16"):
        save_checkpoint(copy.deepcopy(encoder), encoder.state_dict(), toy_folder, tmp_path / dtype, dtype)
        sizes.append((tmp_path / dtype / "model.safetensors").stat().st_size)
        weights.append(dict(load_encoder(tmp_path / dtype).named_parameters()))
        assert SubwordTokenizer(tmp_path / dtype).size == SubwordTokenizer(toy_folder).size
    assert 0.4 < sizes[1] / sizes[0] < 0.6
    for name, weight in weights[0].items():
        assert torch.equal(weight, dict(encoder.named_parameters())[name])
        assert weights[1][name].dtype == torch.float32
        torch.testing.assert_close(weights[1][name], weight, rtol=2**-8, atol=0)
