"""Probe heads: the heads and validation rows that a checkpoint keeps of every step."""

import json

import pytest
import torch

from conftest import make_table
from stiltwalk.models.probe_heads import (
    INDEX,
    copy_probe_heads,
    read_index,
    read_probe_heads,
    save_probe_head,
)
from stiltwalk.tasks.base_data.kind_rows import load_rows
from stiltwalk.tasks.base_data.token_files import tokenize_folder
from stiltwalk.utils.files import write_json

OPTIONS = {"kind": "pair", "labels": ["yes", "no"], "max_length": 12}


@pytest.fixture
def table():
    return make_table("pair", [{"text_a": "the cat", "text_b": "a dog", "label": "no"}])


@pytest.fixture
def data(tmp_path, subwords, table):
    """The folder of a task's rows and their token ids."""
    folder = tmp_path / "data"
    folder.mkdir()
    load_rows("pair").write(table, folder / "validation.parquet")
    tokenize_folder(folder, OPTIONS, subwords)
    return folder


def test_the_pretrained_encoder_has_no_probe_heads(tmp_path):
    write_json([], tmp_path / "probe_heads" / INDEX)
    assert json.loads((tmp_path / "probe_heads/index.json").read_text()) == []
    assert read_index(tmp_path / "probe_heads") == [] and read_probe_heads(tmp_path / "probe_heads") == []


def test_a_step_adds_its_heads_to_those_of_the_steps_before(tmp_path, data, table):
    folder = tmp_path / "probe_heads"
    write_json([], folder / INDEX)
    weights = {"out.weight": torch.arange(6.0).reshape(2, 3).T, "out.bias": torch.ones(3, requires_grad=True)}
    for number in (1, 2, 10):  # in the order of training, in which 10 follows 2
        later = tmp_path / f"after-{number}"
        copy_probe_heads(folder, later)
        for task in ("b", "a"):
            save_probe_head(later, f"{number}-a+b", task, OPTIONS, f"{task} not learned", weights, data)
        folder = later
    assert read_index(folder) == ["1-a+b", "2-a+b", "10-a+b"]
    heads = read_probe_heads(folder)
    assert [(head.step, head.task) for head in heads] == [(s, t) for s in read_index(folder) for t in ("a", "b")]
    assert {path.name for path in heads[-1].folder.iterdir()} == {
        "task.json",
        "head.safetensors",
        "validation.parquet",
        "validation.arrow",
    }
    head = heads[0]
    assert head.options == OPTIONS and head.flag == "a not learned" and head.rows.equals(table)
    assert head.weights.keys() == weights.keys()
    assert all(torch.equal(head.weights[name], weight) for name, weight in weights.items())
    assert head.tokens.batch.to_pydict()["labels"] == [1]
