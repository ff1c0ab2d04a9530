"""Lexical injection: which weights it trains, its loss, and what it reports."""

import copy
import math
from functools import partial

import numpy as np
import pytest
import torch
from accelerate import Accelerator

import train_step
from conftest import make_table, reset_accelerate, tokenized
from stiltwalk.models.resume import RESUME_VARIABLE, Resume
from stiltwalk.tasks.lexical.head.task import Task
from stiltwalk.training.accelerator import make_accelerator
from stiltwalk.training.settings import Settings
from stiltwalk.training.task_data import TaskData
from stiltwalk.training.trainer import seed_for
from stiltwalk.utils.errors import InputError
from toy import SETTINGS

OPTIONS = {"kind": "lexical", "layer": 2, "rank": 4, "alpha": 8, "temperature": 0.05, "max_length": 8}
MEASUREMENTS = {"seen-before", "unseen-before", "seen-after", "unseen-after"}


@pytest.fixture
def data(subwords):
    """Three training pairs and two validation pairs."""
    train = make_table("lexical", [{"source": a, "target": b} for a, b in (("the", "a"), ("cat", "dog"), ("in", "."))])
    validation = train.slice(0, 2)
    rows = (tokenized("lexical", table, True, OPTIONS, subwords) for table in (train, validation))
    return TaskData(Task(OPTIONS), next(rows), validation, next(rows))


def test_only_the_attention_of_one_layer_changes_and_the_architecture_stays(encoder, data):
    adapted = copy.deepcopy(encoder)
    with data.task.adapting(Accelerator(), adapted, data, 64) as cosines:
        assert cosines.keys() == {"seen-before", "unseen-before"}
        trained = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
        assert trained and all(name.startswith("encoder.layer.1.attention.") and "lora" in name for name in trained)
        with torch.no_grad():
            for weight in adapted.parameters():
                weight.add_(0.1 * weight.requires_grad)
    assert cosines.keys() == MEASUREMENTS
    assert all(len(values) == 3 for values in cosines.values())
    before, after = encoder.state_dict(), adapted.state_dict()
    assert list(before) == list(after) and all(weight.requires_grad for weight in adapted.parameters())
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    modules = ("self.query", "self.key", "self.value", "output.dense")
    assert changed == [f"encoder.layer.1.attention.{module}.weight" for module in modules]
    for name in ("seen", "unseen"):  # the embeddings and the first layer stay, the second does not
        assert cosines[f"{name}-before"][:2] == cosines[f"{name}-after"][:2]
        assert cosines[f"{name}-before"][2] != cosines[f"{name}-after"][2]


@pytest.mark.parametrize("layer", [0, 3])
def test_a_layer_that_the_encoder_lacks_is_refused(encoder, data, layer):
    message = rf"params.yaml: kinds.lexical.layer is {layer}; it must be from 1 to 2, the encoder's layers"
    with (
        pytest.raises(InputError, match=message),
        Task(OPTIONS | {"layer": layer}).adapting(Accelerator(), encoder, data, 64),
    ):
        pass


def test_the_loss_is_that_of_choosing_each_words_partner():
    vectors = torch.nn.functional.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    source, target = vectors[::2].numpy(), vectors[1::2].numpy()
    scores = np.exp(source @ target.T / OPTIONS["temperature"])
    expected = sum(
        -math.log(scores[i, i] / scores[i].sum()) / 2 - math.log(scores[i, i] / scores[:, i].sum()) / 2
        for i in range(3)
    )
    assert Task(OPTIONS).loss(vectors, {}).item() == pytest.approx(expected, rel=1e-5)


def test_predictions_are_cosines(data, tmp_path):
    task, pair = Task(OPTIONS), np.array([0.6, 0.8, 1.0, 0.0], np.float32)
    table = data.validation_table
    predictions = task.decode([pair, pair], data.validation, table)
    assert predictions == pytest.approx([0.6, 0.6]) and task.evaluate(predictions, table) == {"cosine": 60.0}
    assert task.majority_baseline(table) is None
    task.write_predictions(predictions, table, tmp_path / "test-de.tsv")
    assert (tmp_path / "test-de.tsv").read_text() == "0.600000\n0.600000\n"


def test_equal_seeds_give_equal_weights_in_every_process(data, toy_folder, tmp_path, monkeypatch):
    """The added weights are drawn before the training sets its seed."""
    monkeypatch.setenv(RESUME_VARIABLE, str(tmp_path))
    settings, seeds, weights = Settings(**SETTINGS), partial(seed_for, 1, "tli"), []
    for seed_of_process in (1, 2):
        torch.manual_seed(seed_of_process)
        reset_accelerate()
        with make_accelerator(settings) as accelerator:
            resume = Resume("1-tli", [], [], [])
            result, _ = train_step.train(accelerator, toy_folder, {"tli": data}, settings, seeds, "1-tli", resume)
        weights.append(result.model.encoder.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
