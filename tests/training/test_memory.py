"""When memory runs out, the message names the setting that halves it."""

import pytest
import torch

from stiltwalk.models.multitask import MultiTaskModel
from stiltwalk.tasks.pair.head.task import Task as PairTask
from stiltwalk.training.evaluation import logits_of
from stiltwalk.training.settings import Settings
from stiltwalk.training.trainer import Trainer
from stiltwalk.utils.errors import InputError
from toy import SETTINGS, fit, nli, toy_accelerator


def too_large(*_, **__):
    """More than any machine has."""
    return torch.empty(1 << 60)


def test_a_training_without_enough_memory_names_what_to_halve(encoder, subwords, monkeypatch):
    monkeypatch.setattr(PairTask, "loss", too_large)
    message = (
        r"training\.micro_batch_tokens is 1000: -S training\.micro_batch_tokens=500 .* "
        r"-S training\.cuda_graphs=false .* -S training\.gradient_checkpointing=true; all steps and targets"
    )
    with pytest.raises(InputError, match=message):
        fit(encoder, {"nli": nli(24, subwords)})


def test_prediction_without_enough_memory_names_what_to_halve(encoder, subwords, monkeypatch):
    data, settings = nli(24, subwords), Settings.read(SETTINGS)
    with toy_accelerator(settings) as accelerator:
        model = MultiTaskModel(encoder, {"nli": data.task.make_head(encoder, 0.1)})
        monkeypatch.setattr(encoder, "forward", too_large)
        with pytest.raises(InputError, match=r"is 64: -S training\.prediction_tokens=32 halves "):
            logits_of(accelerator, model, "nli", data.validation, settings)


def test_the_message_changes_only_the_training_that_ran_out_of_memory(encoder, subwords, monkeypatch):
    monkeypatch.setattr(PairTask, "loss", too_large)
    settings = Settings.read(SETTINGS, "plan.mixtures.mnli.training")
    data = nli(24, subwords)
    with toy_accelerator(settings) as accelerator, pytest.raises(InputError) as error:
        Trainer(accelerator, encoder, {"nli": data}, settings, 7, "toy").train()
    assert "-S ++tasks.mnli.training.micro_batch_tokens=500" in str(error.value)
    assert "all steps and targets" not in str(error.value)
