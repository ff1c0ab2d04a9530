"""Predictions do not depend on how rows are grouped."""

import numpy as np
import pytest

from conftest import tokenized
from stiltwalk.models.checkpoint import load_encoder
from stiltwalk.models.multitask import MultiTaskModel
from stiltwalk.training.evaluation import evaluate, logits_of, predict
from stiltwalk.training.settings import Settings
from toy import SETTINGS, choices, tags, toy_accelerator


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_row_has_the_same_logits_alone_and_among_longer_ones(toy_folder, subwords, attention):
    data, encoder = tags(20, subwords), load_encoder(toy_folder, dropout=0.0, attention=attention)
    model = MultiTaskModel(encoder, {"tags": data.task.make_head(encoder, 0.0)})
    logits = []
    for size in (1, 1000):  # every row alone; all in one batch
        settings = Settings.read(SETTINGS | {"prediction_tokens": size})
        with toy_accelerator(settings) as accelerator:
            logits.append(logits_of(accelerator, model, "tags", data.train, settings))
    for alone, together in zip(*logits, strict=True):
        np.testing.assert_allclose(alone, together, rtol=0, atol=2e-6)


@pytest.mark.parametrize("rows", [tags, choices])
def test_rows_get_the_same_predictions_part_by_part_and_all_at_once(encoder, subwords, monkeypatch, rows):
    """Some sentences are split into several rows, which stay in one part."""
    data = rows(60, subwords)
    if rows is tags:
        options = {"labels": ["D", "N"], "max_length": 5}
        data.validation = tokenized("tagging", data.validation_table, True, options, subwords)
        assert len(data.validation) > 60
    model, predictions = MultiTaskModel(encoder, {"toy": data.task.make_head(encoder, 0.0)}), []
    settings = Settings.read(SETTINGS)
    for size in (1000, 7):
        monkeypatch.setattr("stiltwalk.training.evaluation.PART", size)
        with toy_accelerator(settings) as accelerator:
            arguments = ("toy", data.task, data.validation, data.validation_table)
            predictions.append(predict(accelerator, model, *arguments, settings))
    assert predictions[0] == predictions[1] and len(predictions[0]) == 60


def test_a_task_that_was_not_learned_is_flagged(encoder, subwords):
    data = {"toy": choices(60, subwords)}
    model = MultiTaskModel(encoder, {"toy": data["toy"].task.make_head(encoder, 0.0)})
    settings = Settings.read(SETTINGS)
    with toy_accelerator(settings) as accelerator:
        scores, flags = evaluate(accelerator, model, data, settings)
    assert 0 < scores["toy"]["accuracy"] < 60
    assert flags["toy"].startswith(("not learned: validation accuracy ", "collapsed to "))
