"""How rows are grouped into batches and padded."""

import numpy as np
import torch

from stiltwalk.training.batching import token_batches, training_batches
from toy import choices, tags


def test_every_row_comes_once_before_any_comes_again():
    lengths = np.arange(1, 11)
    batches = list(training_batches(lengths, 4, 5, np.random.default_rng(0), window=2))
    assert [len(batch) for batch in batches] == [4] * 5
    assert sorted(np.bincount(np.concatenate(batches), minlength=10)) == [2] * 10


def test_no_batch_and_no_pass_of_a_small_data_set_repeats_a_row():
    lengths = np.random.default_rng(1).integers(5, 60, 600)
    batches = list(training_batches(lengths, 32, 75, np.random.default_rng(0)))
    assert all(len(set(batch.tolist())) == 32 for batch in batches)
    for begin in range(0, 75 * 32, 600):  # four passes; 18.75 batches each
        whole = [batch for number, batch in enumerate(batches) if begin <= number * 32 <= begin + 600 - 32]
        assert len(np.unique(np.concatenate(whole))) == 32 * len(whole)


def test_token_batches_hold_every_row_within_the_budget():
    lengths = np.random.default_rng(0).integers(1, 40, 200)
    batches = token_batches(lengths, 100)
    assert sorted(np.concatenate(batches)) == list(range(200))
    assert all(len(batch) * lengths[batch].max() <= 100 or len(batch) == 1 for batch in batches)


def test_level_batches_have_no_padding_where_rows_of_one_length_fill_them():
    lengths = np.random.default_rng(0).permutation(np.repeat([50, 20, 19, 7], [3, 30, 2, 100]))
    batches = token_batches(lengths, 200, level=True)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert all(len(rows) * lengths[rows].max() <= 200 for rows in batches)
    assert [sorted(set(lengths[rows].tolist())) for rows in batches] == [[50], [20], [20], [20], [7, 19]] + [[7]] * 4
    assert [len(rows) for rows in batches] == [3, 10, 10, 10, 10, 28, 28, 28, 8]


def test_padding_goes_to_a_multiple_but_not_beyond_the_longest_row(subwords):
    rows = tags(20, subwords).train
    short, longest = int(rows.lengths.argmin()), int(rows.lengths.max())
    batch = rows.tensors([short], 1, multiple=8)
    assert batch["input_ids"].shape == batch["labels"].shape == (1, 8)
    assert int(batch["attention_mask"].sum()) == rows.lengths[short]
    assert rows.tensors([short], 1, multiple=64)["input_ids"].shape == (1, longest)
    assert torch.equal(rows.tensors([short], 1)["input_ids"][0], batch["input_ids"][0, : rows.lengths[short]])


def test_the_padded_length_of_a_row_is_what_a_batch_of_it_holds(subwords):
    one, several = tags(20, subwords).train, choices(20, subwords).train
    assert np.array_equal(one.padded_lengths(4), np.ceil(one.lengths / 4) * 4)
    assert np.array_equal(one.padded_lengths(1), one.lengths)
    for row in range(20):
        assert several.padded_lengths(1)[row] == several.tensors([row], 1)["input_ids"].numel()
    assert (several.padded_lengths(4) == 3 * np.ceil(several.padded_lengths(1) / 12) * 4).all()
