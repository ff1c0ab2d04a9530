"""Training only the embedding rows that the data uses is training all of them."""

import contextlib
import copy

import pytest
import torch

from stiltwalk.perf.embedding_rows import used_embedding_rows
from stiltwalk.tasks.base_data.token_files import record_batch
from stiltwalk.training.batching import TokenizedRows
from stiltwalk.training.settings import Settings
from stiltwalk.training.trainer import Trainer
from toy import SETTINGS, masked_words, nli, toy_accelerator


@pytest.mark.parametrize("keep", ["last", "best"])
def test_training_on_the_used_rows_is_training_on_all(encoder, subwords, keep, monkeypatch):
    settings = Settings.read(SETTINGS | {"keep": keep, "weight_decay": 0.1, "epochs": 4, "evaluations": 4})
    trained = []
    for whole in (False, True):
        if whole:
            monkeypatch.setattr("stiltwalk.training.trainer.used_embedding_rows", lambda *_: contextlib.nullcontext())
        own = copy.deepcopy(encoder)
        with toy_accelerator(settings) as accelerator:
            model = Trainer(accelerator, own, {"nli": nli(32, subwords)}, settings, 5, "nli").train().model
        assert model.encoder.get_input_embeddings() is own.get_input_embeddings()
        trained.append(dict(own.named_parameters()))
    used, dense = trained
    assert used.keys() == dense.keys() == dict(encoder.named_parameters()).keys()
    for name, weight in dense.items():
        torch.testing.assert_close(used[name], weight, rtol=0, atol=2e-7)
    token = subwords.backend.token_to_id("Paris")  # in no row
    before, after = (
        weights["embeddings.word_embeddings.weight"][token] for weights in (dict(encoder.named_parameters()), used)
    )
    assert 0.95 < (after / before).mean() < 1


def test_a_token_without_a_row_is_an_error_and_not_another_token(encoder):
    with used_embedding_rows(encoder, [], [TokenizedRows(record_batch({"input_ids": [[0, 5, 2]]}))]):
        assert encoder(torch.tensor([[0, 5, 2]])).last_hidden_state.shape == (1, 3, 32)
        with pytest.raises(IndexError):
            encoder(torch.tensor([[0, 6, 2]]))
    assert encoder(torch.tensor([[0, 6, 2]])).last_hidden_state.shape == (1, 3, 32)


def test_a_head_that_reads_the_whole_embedding_keeps_it(encoder, subwords):
    data = masked_words(8, subwords)
    with used_embedding_rows(encoder, [data.task.make_head(encoder, 0.0)], [data.train]) as rows:
        assert rows is None
