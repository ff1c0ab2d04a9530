"""Fixtures for all tests, among them a toy encoder of XLM-R's architecture with 2 layers and one token per word."""

import copy
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # tests expect the same bytes in every run, which only a CPU gives

import numpy as np
import pyarrow as pa
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

from stiltwalk import warm
from stiltwalk.models.checkpoint import load_encoder, load_tokenizer
from stiltwalk.tasks.base_data.kind_rows import load_rows
from stiltwalk.tasks.base_data.row_tokenizer import SubwordTokenizer
from stiltwalk.tasks.base_data.row_tokenizer import load_tokenizer as load_row_tokenizer
from stiltwalk.tasks.base_data.token_files import record_batch
from stiltwalk.training.batching import TokenizedRows

WORDS = [
    "the",
    "a",
    "red",
    "blue",
    "cat",
    "dog",
    "house",
    "sees",
    "eats",
    "in",
    "big",
    "small",
    "who",
    "what",
    "where",
    "Anna",
    "Ben",
    "Paris",
    ".",
    "?",
]


def reset_accelerate() -> None:
    """Forget the Accelerator of this process, so that the next one is set up from scratch."""
    AcceleratorState._reset_state(True)
    GradientState._reset_state()


LONGEST = (
    "test_sweep",
    "test_experiments",
    "test_sharing",
    "test_faults",
    "test_readme",
    "test_growth",
    "test_processes",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first, so that neither of two processes waits for the other at the end."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


os.environ["TQDM_DISABLE"] = "1"  # progress bars would bury what a failure prints
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def edit(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture(scope="session")
def warm_stages() -> Iterator[dict[str, str]]:
    """Environment variables with which stages start warm."""
    with warm.warm_stages() as variables:
        yield variables


# It hands itself over to the process that stages are forked from, which runs it again: without the address, which that
# process removes, but with the copy of it that the command's own stages need.
WARM_COMMAND = """#!{python}
import gc, os, runpy, sys
sys.path.insert(0, {source!r})
from stiltwalk.utils.process import WARM_ADDRESS, hand_over
if address := os.environ.get(WARM_ADDRESS):
    os.environ["WARM_COMMAND"] = address
    hand_over(address)
if address := os.environ.pop("WARM_COMMAND", None):
    os.environ[WARM_ADDRESS] = address
sys.path[:] = [path for path in sys.path if path != {source!r}]
for name in [name for name in sys.modules if name.partition(".")[0] == "stiltwalk"]:
    del sys.modules[name]
gc.disable()  # what DVC reads and writes in a short run fits into memory
sys.argv[0] = {command!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="session")
def warm_commands(tmp_path_factory: pytest.TempPathFactory, warm_stages: dict[str, str]) -> dict[str, str]:
    """Environment variables with which `dvc` and `accelerate` start warm too: their imports take a second and more."""
    folder = tmp_path_factory.mktemp("commands")
    programs = Path(sys.executable).parent
    for name in ("dvc", "accelerate"):
        facts = {"python": sys.executable, "source": str(warm.SOURCE), "command": str(programs / name)}
        (folder / name).write_text(WARM_COMMAND.format(**facts))
        (folder / name).chmod(0o755)
    return warm_stages | {"PATH": os.pathsep.join([str(folder), str(programs), os.environ["PATH"]])}


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=66,
        type_vocab_size=1,
    )
    XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def _loaded(toy_folder: Path):
    return load_encoder(toy_folder, dropout=0.0)


@pytest.fixture
def encoder(_loaded):
    return copy.deepcopy(_loaded)


@pytest.fixture
def tokenizer(toy_folder):
    return load_tokenizer(toy_folder)


@pytest.fixture(scope="session")
def subwords(toy_folder: Path) -> SubwordTokenizer:
    return SubwordTokenizer(toy_folder)


def make_table(kind: str, rows: list[dict[str, Any]], gold: bool = True) -> pa.Table:
    """Rows with the columns of a kind, without the gold column unless `gold`."""
    kind_rows = load_rows(kind)
    schema = kind_rows.schema
    if kind_rows.gold and not gold:
        schema = schema.remove(schema.get_field_index(kind_rows.gold))
    return pa.Table.from_pylist(rows, schema)


def tokenized(
    kind: str, table: pa.Table, gold: bool, options: dict[str, Any], subwords: SubwordTokenizer
) -> TokenizedRows:
    """Rows as the stages tokenise them."""
    tokenizer = load_row_tokenizer(options | {"kind": kind}, subwords)
    return TokenizedRows(record_batch(tokenizer.tokenize(table, gold)))


def decode_ids(subwords: SubwordTokenizer, ids: np.ndarray) -> str:
    """The text of token ids, special tokens included."""
    return subwords.backend.decode(ids.tolist(), skip_special_tokens=False)


def random_sentences(count: int, seed: int, longest: int = 14) -> list[str]:
    """Sentences of fewer than `longest` words."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, longest))) for _ in range(count)]
