"""The training loop on a toy encoder: it learns, it repeats itself, and a batch may be cut into any micro-batches."""

import contextlib
import copy
import itertools
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
import transformers
from accelerate import PartialState
from accelerate.utils import DistributedType, set_seed
from torch import nn
from transformers import get_linear_schedule_with_warmup

from conftest import reset_accelerate, tokenized
from stiltwalk.models.checkpoint import load_encoder, save_checkpoint
from stiltwalk.models.multitask import MultiTaskModel, part_of, predicting, rounding
from stiltwalk.models.resume import Resume
from stiltwalk.perf.embedding_rows import on_touched_rows
from stiltwalk.perf.fast_dropout import fast_dropout
from stiltwalk.tasks.base_tokenize import SubwordTokenizer
from stiltwalk.tasks.choice import head as choice
from stiltwalk.tasks.lexical import head as lexical
from stiltwalk.tasks.mlm import head as text
from stiltwalk.tasks.pair import head as pair
from stiltwalk.tasks.base_rows import load_rows
from stiltwalk.tasks.tagging import head as tagging
from stiltwalk.tasks.tokenized_files import record_batch
from stiltwalk.training.batching import Encoded, token_batches, training_batches
from stiltwalk.training.settings import Settings
from stiltwalk.training.trainer import Best, Data, accelerating, logits_of, plan_steps, predict, train
from stiltwalk.utils.errors import InputError

BLOCK = {
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


@pytest.fixture(autouse=True)
def fresh_accelerate():
    yield
    reset_accelerate()


def nli(count: int, subwords) -> Data:
    """Same noun or not: learnable from the pair alone."""
    options = {"labels": ["same", "other"], "max_length": 16}
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(count):
        a, b = rng.choice(NOUNS), rng.choice(NOUNS)
        rows.append({"text_a": f"the {a} sees", "text_b": f"a big {b}", "label": "same" if a == b else "other"})
    table = pa.Table.from_pylist(rows, load_rows("pair").schema)
    rows = tokenized("pair", table, True, options, subwords)
    return Data(pair.Kind(options), rows, table, rows)


def tags(count: int, subwords) -> Data:
    """Sentences of unequal lengths, so that micro-batches hold unequal numbers of loss terms."""
    options = {"labels": ["D", "N"], "max_length": 16}
    rng = np.random.default_rng(1)
    rows = [
        {"tokens": ["the", str(rng.choice(NOUNS))] * int(n), "tags": ["D", "N"] * int(n)}
        for n in rng.integers(1, 6, count)
    ]
    table = pa.Table.from_pylist(rows, load_rows("tagging").schema)
    rows = tokenized("tagging", table, True, options, subwords)
    return Data(tagging.Kind(options), rows, table, rows)


def choices(count: int, subwords) -> Data:
    """Which of three choices names the prompt's noun; choices of unequal lengths."""
    options = {"labels": ["0", "1", "2"], "max_length": 16}
    rng = np.random.default_rng(2)
    rows = []
    for _ in range(count):
        order = [str(noun) for noun in rng.permutation(NOUNS)]
        label = int(rng.integers(3))
        texts = [f"the {noun}" + " big" * int(rng.integers(3)) for noun in order]
        rows.append({"prompt": f"Anna sees a {order[label]}", "choices": texts, "label": label})
    table = pa.Table.from_pylist(rows, load_rows("choice").schema)
    rows = tokenized("choice", table, True, options, subwords)
    return Data(choice.Kind(options), rows, table, rows)


def texts(count: int, subwords) -> Data:
    """Sentences in which every word follows from its place."""
    options = {"max_length": 16, "mask": 0.2}
    table = pa.table({"text": ["Anna sees the big red house in Paris ."] * count})
    rows = tokenized("mlm", table, True, options, subwords)
    return Data(text.Kind(options), rows, table, rows)


def fit(encoder, data: dict[str, Data], **changes):
    reset_accelerate()
    settings = Settings.read(BLOCK | changes)
    with accelerating(settings) as accelerator:
        model, scores, _ = train(accelerator, copy.deepcopy(encoder), data, settings, 7, "toy")
    return model.state_dict(), scores


def test_it_learns_what_can_be_learnt(encoder, subwords):
    _, scores = fit(encoder, {"nli": nli(64, subwords)}, epochs=40)
    assert scores["nli"]["accuracy"] > 95


def test_same_seed_same_weights_and_dropout_is_on(encoder, subwords):
    data = {"nli": nli(32, subwords)}
    one, two, off = (fit(encoder, data, dropout=d)[0] for d in (0.2, 0.2, 0.0))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], off[name]) for name in one)


@pytest.mark.parametrize("task", ["nli", "tags"])
def test_one_batch_equals_its_parts(encoder, subwords, task):
    data = {task: {"nli": nli, "tags": tags}[task](40, subwords)}
    whole, _ = fit(encoder, data)
    parts, _ = fit(encoder, data, micro_batch_tokens=40)
    for name in whole:
        torch.testing.assert_close(whole[name], parts[name], rtol=0, atol=2e-5)


def test_it_is_a_plain_loop_to_rounding(encoder, subwords):
    """The same steps by torch and transformers alone: whole batches, the whole embedding, one AdamW."""
    data, settings = nli(40, subwords), Settings.read(BLOCK | {"weight_decay": 0.1, "micro_batch_tokens": 40})
    trained, _ = fit(encoder, {"nli": data}, weight_decay=0.1, micro_batch_tokens=40)

    set_seed(7)
    generator = np.random.default_rng(7)
    steps = len(plan_steps({"nli": data}, settings, generator))
    plain = copy.deepcopy(encoder)
    head = data.kind.head(plain, 0.0)
    named = [*plain.named_parameters(), *head.named_parameters()]
    free = [weight for name, weight in named if name.endswith("bias") or "LayerNorm" in name]
    decayed = [weight for name, weight in named if not (name.endswith("bias") or "LayerNorm" in name)]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": free, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
    schedule = get_linear_schedule_with_warmup(optimizer, round(0.1 * steps), steps)
    for rows in training_batches(data.train.lengths, settings.batch_size, steps, generator):
        batch = data.train.tensors(rows, plain.config.pad_token_id)
        logits = head(plain(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state)
        torch.nn.functional.cross_entropy(logits, batch["labels"]).backward()
        torch.nn.utils.clip_grad_norm_([*plain.parameters(), *head.parameters()], settings.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    moved = 0.0
    for name, weight in plain.named_parameters():
        torch.testing.assert_close(trained[f"encoder.{name}"], weight.detach(), rtol=0, atol=2e-5)
        moved = max(moved, (weight - dict(encoder.named_parameters())[name]).abs().max().item())
    assert moved > 1e-2  # so that 2e-5 is rounding


def test_gradient_checkpointing_changes_no_weight(encoder, subwords):
    data = {"nli": nli(32, subwords)}
    one, two = (fit(encoder, data, gradient_checkpointing=on)[0] for on in (False, True))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=2e-6)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("architecture", "rows"), [("XLMRoberta", choices), ("Bert", choices), ("Electra", nli)])
def test_of_the_last_layer_no_more_is_computed_than_the_head_reads(
    architecture, rows, attention, checkpointing, subwords
):
    """Where the head reads the first token alone; logits and gradients are those of the whole layer to rounding."""
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = getattr(transformers, f"{architecture}Config")(vocab_size=subwords.size, **shape, hidden_dropout_prob=0.0)
    config.attention_probs_dropout_prob, config._attn_implementation = 0.0, attention
    encoder = getattr(transformers, f"{architecture}Model")(config).train()
    if checkpointing:
        encoder.activation_checkpointing_enable()
    data, sentences = rows(20, subwords), tags(20, subwords)
    model = MultiTaskModel(encoder, {"pairs": data.kind.head(encoder, 0.0), "tags": sentences.kind.head(encoder, 0.0)})
    found, widths = [], list[int]()
    encoder.encoder.layer[-1].register_forward_hook(lambda *called: widths.append(called[-1].shape[1]))
    for reading in (nullcontext(), model.reading("pairs")):
        model.zero_grad()
        with reading:
            batch = data.train.tensors(range(20), 1)
            logits = model("pairs", batch["input_ids"], batch["attention_mask"])
            data.kind.loss(logits, batch).backward()
        gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
        found.append({"logits": logits.detach(), **gradients})
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=0, atol=2e-6 * max(1, float(value.abs().max())))
    assert {widths[0]} != {1} and {widths[-1]} == ({1} if architecture != "Electra" else {widths[0]})
    with rounding(encoder), model.reading("pairs"):
        rounded = model("pairs", batch["input_ids"], batch["attention_mask"])
    torch.testing.assert_close(rounded, found[0]["logits"], rtol=0.02, atol=0.02)
    with model.reading("tags"):
        batch = sentences.train.tensors(range(20), 1)
        assert model("tags", batch["input_ids"], batch["attention_mask"]).shape[1] == batch["input_ids"].shape[1]


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_training_and_validation_compute_no_more_than_the_heads_read(encoder, subwords, precision):
    """A joint step: of the last layer one token a row where the batch is of pairs, all where it is of tags."""
    widths = set[int]()
    encoder.encoder.layer[-1].register_forward_hook(lambda *called: widths.add(called[-1].shape[1]))
    fit(encoder, {"nli": nli(16, subwords)}, mixed_precision=precision)
    assert widths == {1}
    fit(encoder, {"nli": nli(16, subwords), "tags": tags(16, subwords)}, mixed_precision=precision)
    assert len(widths) > 1


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_row_among_longer_ones_is_predicted_as_it_is_alone(toy_folder, subwords, attention):
    rows, loaded = tags(20, subwords), load_encoder(toy_folder, dropout=0.0, attention=attention)
    model = MultiTaskModel(loaded, {"tags": rows.kind.head(loaded, 0.0)})
    found = []
    for size in (1, 1000):  # every row alone; all in one batch
        settings = Settings.read(BLOCK | {"prediction_tokens": size})
        with accelerating(settings) as accelerator:
            found.append(logits_of(accelerator, model, "tags", rows.train, settings))
    for alone, together in zip(*found, strict=True):
        np.testing.assert_allclose(alone, together, rtol=0, atol=2e-6)


@pytest.mark.parametrize("rows", [tags, choices])
def test_rows_are_predicted_part_by_part_as_all_at_once(encoder, subwords, monkeypatch, rows):
    """Among them sentences that were split: their rows lie in one part."""
    data = rows(60, subwords)
    if rows is tags:
        data.validation = tokenized(
            "tagging", data.validation_table, True, {"labels": ["D", "N"], "max_length": 5}, subwords
        )
        assert len(data.validation) > 60
    model, found = MultiTaskModel(encoder, {"toy": data.kind.head(encoder, 0.0)}), []
    for size in (1000, 7):
        monkeypatch.setattr("stiltwalk.training.trainer.PART", size)
        settings = Settings.read(BLOCK)
        with accelerating(settings) as accelerator:
            told = ("toy", data.kind, data.validation, data.validation_table)
            found.append(predict(accelerator, model, *told, settings))
    assert found[0] == found[1] and len(found[0]) == 60


def test_a_joint_step_trains_both_heads_and_keeps_them_apart(encoder, subwords):
    data = {"nli": nli(64, subwords), "tags": tags(32, subwords)}
    weights, scores = fit(encoder, data, epochs=25)
    assert scores["tags"]["f1"] > 95 and scores["nli"]["accuracy"] > 80
    assert {name.split(".")[1] for name in weights if name.startswith("heads.")} == {"nli", "tags"}


def test_best_keeps_the_weights_of_its_score():
    model = torch.nn.Linear(1, 1)
    kept = {keep: Best(keep) for keep in ("best", "last")}
    for weight, accuracy in ((1.0, 60.0), (2.0, 80.0), (3.0, 70.0)):
        torch.nn.init.constant_(model.weight, weight)
        for best in kept.values():
            best.see(model, {"nli": {"accuracy": accuracy}}, {"nli": "not learned"} if accuracy < 70 else {})
    assert kept["last"].restore(model) == ({"nli": {"accuracy": 70.0}}, {})
    assert model.weight.item() == 3.0
    assert kept["best"].restore(model) == ({"nli": {"accuracy": 80.0}}, {})
    assert model.weight.item() == 2.0


def test_a_checkpoint_in_bfloat16_is_half_as_large_and_loads_in_float32(encoder, toy_folder, tmp_path):
    sizes, weights = [], []
    for dtype in ("float32", "bfloat16"):
        save_checkpoint(copy.deepcopy(encoder), encoder.state_dict(), toy_folder, tmp_path / dtype, dtype)
        sizes.append((tmp_path / dtype / "model.safetensors").stat().st_size)
        weights.append(dict(load_encoder(tmp_path / dtype).named_parameters()))
        assert SubwordTokenizer(tmp_path / dtype).size == SubwordTokenizer(toy_folder).size
    assert 0.4 < sizes[1] / sizes[0] < 0.6
    for name, weight in weights[0].items():
        assert torch.equal(weight, dict(encoder.named_parameters())[name])
        assert weights[1][name].dtype == torch.float32
        torch.testing.assert_close(weights[1][name], weight, rtol=2**-8, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "keep", "precision"),
    [("gpus", "last", "no"), ("gpus", "last", "bf16"), ("fsdp", "best", "no"), ("fsdp", "last", "bf16")],
)
def test_two_processes_train_the_same_model_as_one(file, keep, precision, toy_folder, tmp_path, monkeypatch):
    """The same global batch over gloo, each process with the whole model or with half of it: equal to rounding."""
    monkeypatch.setenv("STILTWALK_RESUME", str(tmp_path / "states"))
    process(str(toy_folder), str(tmp_path / "1"), keep, precision)
    done = start(file, toy_folder, tmp_path / "2", keep, precision)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (torch.load(tmp_path / str(n), weights_only=True) for n in (1, 2))
    assert (one.pop("ways"), two.pop("ways")) == ("NO", "FSDP" if file == "fsdp" else "MULTI_CPU")
    assert one.keys() == two.keys()
    # Training moves the weights by about as much as they are.
    whole, shared = (torch.cat([weight.flatten() for weight in weights.values()]) for weights in (one, two))
    assert (whole - shared).norm() < {"no": 1e-5, "bf16": 0.05}[precision] * whole.norm()
    encoders = [dict(load_encoder(tmp_path / f"{n}-encoder").named_parameters()) for n in (1, 2)]
    for name, weight in encoders[0].items():
        assert torch.equal(weight, one[f"encoder.{name}"]) and torch.equal(encoders[1][name], two[f"encoder.{name}"])


@pytest.mark.slow
@pytest.mark.parametrize("file", ["gpus", "fsdp"])
def test_two_processes_of_which_one_is_told_to_end_go_on_to_the_same_bytes(file, toy_folder, tmp_path):
    whole = ["best", "no", "0.1"]
    assert start(file, toy_folder, tmp_path / "whole", *whole).returncode == 0
    for step in ("7", "12"):  # the first evaluation is at 10
        parts = tmp_path / f"parts-{step}"
        done = start(file, toy_folder, parts, *whole, step)
        assert done.returncode and f"toy: told to end; the same command goes on after step {step}" in done.stdout
        assert not parts.exists()
        done = start(file, toy_folder, parts, *whole)
        assert done.returncode == 0 and f"toy: goes on after step {step} of" in done.stdout, done.stderr[-3000:]
        ended, unbroken = (torch.load(path, weights_only=True) for path in (parts, tmp_path / "whole"))
        assert ended.keys() == unbroken.keys()
        assert all(torch.equal(value, ended[name]) for name, value in unbroken.items() if name != "ways")


def process(folder: str, out: str, keep: str, precision: str, dropout: str = "0", stop: str = "0") -> None:
    """Train two tasks and write weights, logits and encoder; the second process is told to end after step `stop`."""
    loaded, toy_tokens = load_encoder(Path(folder), dropout=float(dropout)), SubwordTokenizer(Path(folder))
    toy_settings = Settings.read(BLOCK | {"micro_batch_tokens": 40, "keep": keep, "mixed_precision": precision})
    both = {"tags": tags(40, toy_tokens), "nli": nli(40, toy_tokens)}
    resume, calls = Resume("toy", [keep, precision, dropout], (), []), itertools.count(1)
    due = resume.due

    def told(accelerator, *more):
        if next(calls) == int(stop) and accelerator.process_index:
            os.kill(os.getpid(), signal.SIGTERM)
        return due(accelerator, *more)

    setattr(resume, "due", told)  # noqa: B010
    if os.environ.get("ACCELERATE_USE_FSDP"):  # Accelerate lets GPUs alone have it; torch has it on a CPU too
        PartialState(True)
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    with accelerating(toy_settings, tasks=2) as accelerator:
        trained, *_ = train(accelerator, loaded, both, toy_settings, 7, "toy", resume)
        logits = logits_of(accelerator, trained, "nli", both["nli"].train, toy_settings)
        facts = {"ways": accelerator.distributed_type.value, "logits": torch.tensor(np.array(logits))}
        weights = accelerator.get_state_dict(trained)
        if accelerator.is_main_process:
            torch.save({**weights, **facts}, out)
            save_checkpoint(trained.encoder, part_of(weights, "encoder"), Path(folder), Path(f"{out}-encoder"))

    resume.remove()


def start(file: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The same in two processes, as launch/ says."""
    folder = Path(str(arguments[1])).parent
    environment = os.environ | {"PYTHONPATH": "src:tests", "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    environment |= {"STILTWALK_TIMES": str(folder / "none"), "STILTWALK_RESUME": str(folder / "states")}
    environment |= {"STILTWALK_LAUNCH": f"launch/{file}.yaml"}
    command = [sys.executable, "tests/launched.py", *map(str, arguments)]
    root = Path(__file__).parents[2]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=root, timeout=120)


def test_every_row_comes_once_before_any_comes_again():
    lengths = np.arange(1, 11)
    batches = list(training_batches(lengths, 4, 5, np.random.default_rng(0), window=2))
    assert [len(batch) for batch in batches] == [4] * 5
    assert sorted(np.bincount(np.concatenate(batches), minlength=10)) == [2] * 10


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
    found = [len(rows) for rows in batches]
    assert found == [3, 10, 10, 10, 10, 28, 28, 28, 8]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "training.epochs is 0"),
        ({"epochs": "two"}, "training.epochs is 'two'"),
        ({"batch_size": 2.5}, "training.batch_size is 2.5"),
        ({"mixed_precision": False}, "training.mixed_precision is False"),
        ({"speed": 1}, "unknown keys: speed"),
    ],
)
def test_bad_hyper_parameters_are_named(change, message):
    with pytest.raises(InputError, match=message):
        Settings.read(BLOCK | change)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_passes_in_bfloat16_have_the_gradients_of_float32_but_for_rounding(
    toy_folder, subwords, attention, checkpointing
):
    """Of every weight that is used; the others have none, and the encoder is as it was."""
    loaded = load_encoder(toy_folder, dropout=0.0, attention=attention)
    if checkpointing:
        loaded.activation_checkpointing_enable()
    data = tags(32, subwords)
    heads = {"tags": data.kind.head(loaded, 0.0), "other": nn.Linear(32, 2)}
    model = MultiTaskModel(loaded, heads).train()
    batch = data.train.tensors(range(32), loaded.config.pad_token_id)
    found = []
    for rounded in (False, True):
        model.zero_grad()
        with rounding(loaded) if rounded else nullcontext(), torch.autocast("cpu", torch.bfloat16, enabled=rounded):
            logits = model("tags", batch["input_ids"], batch["attention_mask"])
            data.kind.loss(logits.float(), batch).backward()
        found.append({name: weight.grad for name, weight in model.named_parameters()})
        assert logits.dtype == (torch.bfloat16 if rounded else torch.float32)
    assert "forward" not in vars(loaded)
    for name, exact in found[0].items():
        if exact is None:
            assert found[1][name] is None
        else:
            gradient = found[1][name]
            assert gradient is not None and gradient.dtype == torch.float32
            error = (gradient - exact).norm() / exact.norm().clamp(min=1e-3)
            assert error < 0.05, f"{name}: {error}"
    assert sum(gradient is None for gradient in found[1].values()) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fast_dropout_is_dropout(dtype):
    """Of a share p, the rest scaled, the gradient likewise; and drawn anew, but for the same seed."""
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        x = torch.ones(1001, 99, dtype=dtype, requires_grad=True)
        with fast_dropout():
            y = nn.Dropout(0.1)(x)
        y.sum().backward()
        assert x.grad is not None and torch.equal(x.grad, y)
        assert y[y > 0].unique().tolist() == pytest.approx([1 / 0.9], rel=0.004)
        assert float((y == 0).float().mean()) == pytest.approx(0.1, abs=0.004)
        found.append(y.detach())
    assert torch.equal(found[0], found[1]) and not torch.equal(found[1], found[2])
    with fast_dropout():
        assert nn.functional.dropout(x, 0.5, training=False) is x
    assert "training" not in nn.functional.dropout.__module__


@pytest.mark.parametrize("mask", [None, "bool", "float"])
def test_attention_with_dropout_is_attention(mask):
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 7, 8)
    seen = torch.ones(2, 1, 7, 7, dtype=torch.bool)
    seen[1, ..., 5:] = False
    given = {None: None, "bool": seen, "float": torch.zeros(2, 1, 7, 7).masked_fill(~seen, -1e9)}[mask]
    attend = nn.functional.scaled_dot_product_attention
    with fast_dropout():
        found = nn.functional.scaled_dot_product_attention(query, key, value, given, dropout_p=1e-9)
        mean = sum(
            nn.functional.scaled_dot_product_attention(query, key, value, given, dropout_p=0.3) for _ in range(4000)
        )
    torch.testing.assert_close(found, attend(query, key, value, given), rtol=0, atol=1e-6)
    torch.testing.assert_close(mean / 4000, found, rtol=0, atol=0.06)


def test_prediction_in_bfloat16_leaves_the_weights_as_they_are(encoder, subwords):
    model = MultiTaskModel(encoder, {"nli": pair.Head(encoder.config.hidden_size, 2, 0.1)})
    batch = nli(8, subwords).train.tensors(range(8), encoder.config.pad_token_id)
    given = "nli", batch["input_ids"], batch["attention_mask"]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = {}
    for precision in ("no", "bf16"):
        device = torch.device("cpu")
        accelerator = SimpleNamespace(mixed_precision=precision, autocast=nullcontext, device=device, is_fsdp2=False)
        with predicting(accelerator, model) as forward:
            found[precision] = forward(*given)
    assert found["bf16"].dtype == torch.bfloat16
    torch.testing.assert_close(found["bf16"].float(), found["no"], rtol=0.05, atol=0.02)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_step_of_fewer_examples_than_processes_is_refused(encoder, subwords, monkeypatch):
    monkeypatch.setattr("accelerate.Accelerator.num_processes", 3)
    with pytest.raises(InputError, match="batch_size 2 is less than one example for each of the 3 processes"):
        fit(encoder, {"nli": nli(8, subwords)}, batch_size=2)


@pytest.mark.parametrize(("rows", "measure", "chance"), [(choices, "accuracy", 33), (texts, "accuracy", 15)])
def test_choices_and_masked_words_are_learnt(encoder, subwords, rows, measure, chance):
    _, scores = fit(encoder, {"toy": rows(160, subwords)}, epochs=15, learning_rate=0.003, prediction_tokens=200)
    assert scores["toy"][measure] > 1.7 * chance


def test_masked_words_share_the_encoders_embeddings(encoder, subwords):
    before = encoder.get_input_embeddings().weight.clone()
    weights, _ = fit(encoder, {"toy": texts(32, subwords)})
    assert not any(weight.shape == before.shape for name, weight in weights.items() if name.startswith("heads."))
    assert not torch.equal(weights["encoder.embeddings.word_embeddings.weight"], before)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"sampler": "proportional"}, {"a": 20, "b": 2}),
        ({"sampler": "capped", "cap": 24}, {"a": 6, "b": 2}),
        ({"sampler": "uniform"}, {"a": 11, "b": 11}),
        ({"sampler": "temperature", "temperature": 2.0}, {"a": 17, "b": 5}),  # 22 shared out as sqrt(80) : sqrt(8)
    ],
)
def test_a_joint_step_shares_its_steps_as_the_sampler_says(subwords, settings, steps):
    data = {"a": nli(80, subwords), "b": nli(8, subwords)}
    plan = plan_steps(data, Settings.read(BLOCK | settings), np.random.default_rng(0))
    assert {task: plan.count(task) for task in data} == steps
    assert plan == plan_steps(data, Settings.read(BLOCK | settings), np.random.default_rng(0))
    assert plan != sorted(plan)


def test_a_task_that_is_trained_alone_is_not_capped(subwords):
    settings = Settings.read(BLOCK | {"sampler": "capped", "cap": 24})
    alone = plan_steps({"a": nli(80, subwords)}, settings, np.random.default_rng(0))
    assert len(alone) == 20


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("benchmark.panx.training", "++xtreme.panx.training.cap"),
        ("mixtures.mnli.training", "++tasks.mnli.training.cap"),
        ("mixtures.mnli+squad.training", "training.cap"),
        ("probes.1-mnli.training", "training.cap"),
    ],
)
def test_the_override_of_one_training_leaves_the_others_alone(where, said):
    assert Settings.read(BLOCK, where).override("cap") == said


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_precision_is_refused_where_the_processor_has_not_got_it(precision, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    settings = Settings.read(BLOCK | {"mixed_precision": precision})
    said = rf"mixed_precision is {precision}, .*mixed_precision=no"
    with pytest.raises(InputError, match=said), accelerating(settings):
        pass


def test_a_lexical_step_changes_one_layers_attention_and_draws_its_pairs_together(encoder, subwords, tmp_path):
    options = {"kind": "lexical", "layer": 1, "rank": 4, "alpha": 8, "temperature": 0.05, "max_length": 8}
    kind, mine = lexical.Kind(options), copy.deepcopy(encoder)
    words = [("cat", "red"), ("dog", "blue"), ("house", "big"), ("Anna", "small"), ("Ben", "in"), ("Paris", "who")]
    table = pa.Table.from_pylist([{"source": a, "target": b} for a, b in words], load_rows("lexical").schema)
    rows = tokenized("lexical", table, True, options, subwords)
    settings = Settings.read(BLOCK | {"epochs": 20, "batch_size": 6, "learning_rate": 0.02})
    with (
        accelerating(settings) as accelerator,
        kind.injecting(accelerator, mine, {"seen": rows}, settings.prediction_tokens, tmp_path / "layers"),
    ):
        train(accelerator, mine, {"tli": Data(kind, rows, table, rows)}, settings, 5, "tli")
    with accelerating(settings) as accelerator:
        vectors = [
            kind.embedder.embed(accelerator, one, rows, settings.prediction_tokens, [1]) for one in (encoder, mine)
        ]
    unlike, like = (float(kind.loss(one[0], {})) for one in vectors)
    assert like < unlike / 4
    before, after = encoder.state_dict(), mine.state_dict()
    assert after.keys() == before.keys() and all(weight.requires_grad for weight in mine.parameters())
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    adapted = ("self.query", "self.key", "self.value", "output.dense")
    assert changed == {f"encoder.layer.0.attention.{name}.weight" for name in adapted}
    # A line a hidden state; the embeddings' own stays.
    told = [(tmp_path / f"layers/seen-{when}.csv").read_text().split()[1:] for when in ("before", "after")]
    (embeddings, *layers), (embeddings_after, *layers_after) = told
    assert embeddings_after == embeddings and len(layers) == 2 and layers_after[0] != layers[0]


@pytest.mark.parametrize("keep", ["last", "best"])
def test_training_on_touched_rows_is_training_on_all(encoder, subwords, keep, monkeypatch):
    settings = Settings.read(BLOCK | {"keep": keep, "weight_decay": 0.1, "epochs": 4, "evaluations": 4})
    trained = []
    for whole in (False, True):
        if whole:
            monkeypatch.setattr("stiltwalk.training.trainer.on_touched_rows", lambda *_: contextlib.nullcontext())
        mine = copy.deepcopy(encoder)
        with accelerating(settings) as accelerator:
            model, *_ = train(accelerator, mine, {"nli": nli(32, subwords)}, settings, 5, "nli")
        assert model.encoder.get_input_embeddings() is mine.get_input_embeddings()
        trained.append(dict(mine.named_parameters()))
    touched, dense = trained
    assert touched.keys() == dense.keys() == dict(encoder.named_parameters()).keys()
    for name, weight in dense.items():
        torch.testing.assert_close(touched[name], weight, rtol=0, atol=2e-7)
    word = subwords.backend.token_to_id("Paris")  # in no row
    before, after = (
        folder["embeddings.word_embeddings.weight"][word] for folder in (dict(encoder.named_parameters()), touched)
    )
    assert 0.95 < (after / before).mean() < 1


def test_a_word_without_a_row_is_an_error_and_not_another_word(encoder):
    with on_touched_rows(encoder, [], [Encoded(record_batch({"input_ids": [[0, 5, 2]]}))]):
        assert encoder(torch.tensor([[0, 5, 2]])).last_hidden_state.shape == (1, 3, 32)
        with pytest.raises(IndexError):
            encoder(torch.tensor([[0, 6, 2]]))
    assert encoder(torch.tensor([[0, 6, 2]])).last_hidden_state.shape == (1, 3, 32)
