"""Tasks that a toy encoder learns in seconds, and the settings that it is trained with."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from dvclive import Live
from transformers import PreTrainedModel

from conftest import make_table, reset_accelerate, tokenized
from stiltwalk.tasks.base_data.row_tokenizer import SubwordTokenizer
from stiltwalk.tasks.base_head import load_task
from stiltwalk.training.accelerator import make_accelerator
from stiltwalk.training.evaluation import Scores
from stiltwalk.training.settings import PredictionSettings, Settings
from stiltwalk.training.task_data import TaskData
from stiltwalk.training.trainer import Trainer

SETTINGS: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 8,
    "micro_batch_tokens": 1000,
    "learning_rate": 0.003,
    "warmup": 0.1,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
    "dropout": 0.0,
    "attention": "sdpa",
    "mixed_precision": "no",
    "gradient_checkpointing": False,
    "cuda_graphs": True,
    "threads": None,
    "evaluations": 2,
    "keep": "last",
    "prediction_tokens": 64,
    "retries": 0,
    "sampler": "proportional",
    "cap": 100,
    "temperature": 2.0,
}
NOUNS = ["cat", "dog", "house"]


def make_data(kind: str, rows: list[dict[str, Any]], options: dict[str, Any], subwords: SubwordTokenizer) -> TaskData:
    """A task that is validated on its training rows."""
    table = make_table(kind, rows)
    tokens = tokenized(kind, table, True, options, subwords)
    return TaskData(load_task(options | {"kind": kind}), tokens, table, tokens)


def nli(count: int, subwords: SubwordTokenizer) -> TaskData:
    """Pairs: the same noun or not, which can be learned from the pair alone."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(count):
        a, b = rng.choice(NOUNS), rng.choice(NOUNS)
        rows.append({"text_a": f"the {a} sees", "text_b": f"a big {b}", "label": "same" if a == b else "other"})
    return make_data("pair", rows, {"labels": ["same", "other"], "max_length": 16}, subwords)


def tags(count: int, subwords: SubwordTokenizer) -> TaskData:
    """Sentences of unequal lengths, so that micro-batches have unequal numbers of loss terms."""
    rng = np.random.default_rng(1)
    rows = [
        {"tokens": ["the", str(rng.choice(NOUNS))] * int(n), "tags": ["D", "N"] * int(n)}
        for n in rng.integers(1, 6, count)
    ]
    return make_data("tagging", rows, {"labels": ["D", "N"], "max_length": 16}, subwords)


def choices(count: int, subwords: SubwordTokenizer) -> TaskData:
    """Which of three choices names the noun of the prompt; choices of unequal lengths."""
    rng = np.random.default_rng(2)
    rows = []
    for _ in range(count):
        order = [str(noun) for noun in rng.permutation(NOUNS)]
        label = int(rng.integers(3))
        texts = [f"the {noun}" + " big" * int(rng.integers(3)) for noun in order]
        rows.append({"prompt": f"Anna sees a {order[label]}", "choices": texts, "label": label})
    return make_data("choice", rows, {"labels": ["0", "1", "2"], "max_length": 16}, subwords)


def questions(count: int, subwords: SubwordTokenizer) -> TaskData:
    """Which noun follows the colour that the question names."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(count):
        first, second = (str(noun) for noun in rng.permutation(NOUNS)[:2])
        context = f"the red {first} sees the blue {second}"
        text, color = ((first, "red"), (second, "blue"))[number % 2]
        answer = {"text": [text], "answer_start": [context.index(text)]}
        rows.append({"id": str(number), "context": context, "question": f"which {color} ?", "answers": answer})
    options = {"max_length": 40, "max_query_length": 12, "doc_stride": 8, "max_answer_length": 8, "n_best": 5}
    return make_data("qa", rows, options | {"labels": []}, subwords)


def word_pairs(subwords: SubwordTokenizer) -> TaskData:
    """Pairs of words, to be pulled together in the second layer."""
    words = [("cat", "red"), ("dog", "blue"), ("house", "big"), ("Anna", "small"), ("Ben", "in"), ("Paris", "who")]
    options = {"layer": 2, "rank": 4, "alpha": 8, "temperature": 0.05, "max_length": 16}
    return make_data("lexical", [{"source": a, "target": b} for a, b in words], options, subwords)


def masked_words(count: int, subwords: SubwordTokenizer) -> TaskData:
    """Sentences in which every word follows from its place."""
    rows = [{"text": "Anna sees the big red house in Paris ."}] * count
    return make_data("mlm", rows, {"max_length": 16, "mask": 0.2}, subwords)


@contextlib.contextmanager
def toy_accelerator(settings: PredictionSettings, tasks: int = 1, live: Live | None = None) -> Iterator[Accelerator]:
    """An accelerator that leaves nothing behind in this process."""
    reset_accelerate()
    with make_accelerator(settings, tasks, live) as accelerator:
        yield accelerator
    reset_accelerate()


def fit(encoder: PreTrainedModel, data: dict[str, TaskData], **changes: Any) -> tuple[dict[str, torch.Tensor], Scores]:
    """Train a copy of the encoder; its weights and scores."""
    settings = Settings.read(SETTINGS | changes)
    with toy_accelerator(settings, len(data)) as accelerator:
        result = Trainer(accelerator, copy.deepcopy(encoder), data, settings, 7, "toy").train()
    return result.model.state_dict(), result.scores
