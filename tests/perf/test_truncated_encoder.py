"""No layer is computed above the hidden state that is read, and the results stay the same."""

import copy

import pytest
import torch
from accelerate import Accelerator
from transformers import XLMRobertaXLConfig, XLMRobertaXLModel

from conftest import make_table, reset_accelerate, tokenized
from stiltwalk.models.sentence_vectors import SentenceEmbedder
from stiltwalk.perf.truncated_encoder import truncated_encoder


@pytest.fixture
def rows(subwords):
    """Two sentences of different lengths."""
    sentences = [("source", "a-1", "the cat"), ("source", "a-2", "Anna sees the dog .")]
    table = make_table("mining", [dict(zip(("side", "id", "text"), row, strict=True)) for row in sentences])
    return tokenized("mining", table, False, {"max_length": 16}, subwords)


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_no_layer_above_the_hidden_state_is_computed(encoder, rows, precision):
    computed: list[int] = []
    reset_accelerate()
    for number, layer in enumerate(layers := encoder.encoder.layer):
        layer.register_forward_hook(lambda *_, number=number: computed.append(number))
    accelerator, embedder = Accelerator(mixed_precision=precision), SentenceEmbedder("mining", 1.0, "mean")
    vectors = []
    for state in (0, 1, 2):
        computed.clear()
        vectors.append(embedder.embed(accelerator, encoder, rows, 64, [state])[0])
        assert computed == [0, 1][: max(1, state)] and encoder.encoder.layer is layers
    assert torch.equal(torch.stack(vectors), embedder.embed(accelerator, encoder, rows, 64, [0, 1, 2]))
    reset_accelerate()  # the Accelerators of other tests are in float32


def test_an_encoder_with_a_norm_behind_its_layers_stays_whole(rows):
    config = XLMRobertaXLConfig(
        vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    encoder = XLMRobertaXLModel(config, add_pooling_layer=False).eval()
    accelerator, embedder = Accelerator(), SentenceEmbedder("mining", 1.0, "mean")
    one = embedder.embed(accelerator, encoder, rows, 64, [1])[0]
    assert torch.equal(one, embedder.embed(accelerator, encoder, rows, 64, [0, 1, 2])[1])


def test_the_layers_are_back_after_an_error(encoder):
    names = list(copy.deepcopy(encoder).state_dict())
    with pytest.raises(RuntimeError, match="stop"), truncated_encoder(encoder, 1):
        assert len(encoder.encoder.layer) == 1
        raise RuntimeError("stop")
    assert list(encoder.state_dict()) == names
