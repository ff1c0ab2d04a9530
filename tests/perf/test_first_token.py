"""The last layer is computed for the first token only, where a head reads no other."""

import contextlib

import pytest
import torch
import transformers

from stiltwalk.models.multitask import MultiTaskModel
from stiltwalk.perf.bf16_weights import install_bf16_weights
from stiltwalk.perf.first_token import first_token_only
from toy import choices, fit, nli, tags


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("architecture", "rows"), [("XLMRoberta", choices), ("Bert", choices), ("Electra", nli)])
def test_logits_and_gradients_are_those_of_the_whole_layer(architecture, rows, attention, checkpointing, subwords):
    """To rounding. An Electra is computed as a whole, and so is an XLM-R whose head reads all tokens."""
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = getattr(transformers, f"{architecture}Config")(vocab_size=subwords.size, **shape, hidden_dropout_prob=0.0)
    config.attention_probs_dropout_prob, config._attn_implementation = 0.0, attention
    encoder = getattr(transformers, f"{architecture}Model")(config).train()
    if checkpointing:
        encoder.activation_checkpointing_enable()
    data, sentences = rows(20, subwords), tags(20, subwords)
    heads = {"pairs": data.task.make_head(encoder, 0.0), "tags": sentences.task.make_head(encoder, 0.0)}
    model = MultiTaskModel(encoder, heads)
    batch = data.train.tensors(range(20), 1)
    results, widths = [], list[int]()
    encoder.encoder.layer[-1].register_forward_hook(lambda *called: widths.append(called[-1].shape[1]))
    for limited in (contextlib.nullcontext(), first_token_only(encoder, heads["pairs"])):
        model.zero_grad()
        with limited:
            logits = model("pairs", batch["input_ids"], batch["attention_mask"])
            data.task.loss(logits, batch).backward()
        gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
        results.append({"logits": logits.detach(), **gradients})
    whole, first = results
    assert whole.keys() == first.keys()
    for name, value in whole.items():
        torch.testing.assert_close(first[name], value, rtol=0, atol=2e-6 * max(1, float(value.abs().max())))
    assert {widths[0]} != {1} and {widths[-1]} == ({1} if architecture != "Electra" else {widths[0]})
    with install_bf16_weights(encoder), first_token_only(encoder, heads["pairs"]):
        rounded = model("pairs", batch["input_ids"], batch["attention_mask"])
    torch.testing.assert_close(rounded, whole["logits"], rtol=0.02, atol=0.02)
    with first_token_only(encoder, heads["tags"]):
        batch = sentences.train.tensors(range(20), 1)
        assert model("tags", batch["input_ids"], batch["attention_mask"]).shape[1] == batch["input_ids"].shape[1]


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_training_and_validation_compute_no_more_than_the_heads_read(encoder, subwords, precision):
    """In a joint step the last layer has one token per row for batches of pairs, and all for batches of tags."""
    widths = set[int]()
    encoder.encoder.layer[-1].register_forward_hook(lambda *called: widths.add(called[-1].shape[1]))
    fit(encoder, {"nli": nli(16, subwords)}, mixed_precision=precision)
    assert widths == {1}
    fit(encoder, {"nli": nli(16, subwords), "tags": tags(16, subwords)}, mixed_precision=precision)
    assert len(widths) > 1
