"""Training on a toy encoder: it learns, it repeats itself, and a batch can be cut into any micro-batches."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate.utils import set_seed
from transformers import get_linear_schedule_with_warmup

from stiltwalk.models.resume import Resume
from stiltwalk.tasks.lexical.head.task import Task as LexicalTask
from stiltwalk.tasks.pair.head.task import Task as PairTask
from stiltwalk.training.batching import training_batches
from stiltwalk.training.best import Best
from stiltwalk.training.curves import record_curves
from stiltwalk.training.sampler import sample_tasks
from stiltwalk.training.settings import Settings
from stiltwalk.training.trainer import NotFinite, Trainer, seed_for, train_with_retries
from stiltwalk.utils.errors import InputError
from toy import SETTINGS, choices, fit, make_data, masked_words, nli, tags, toy_accelerator


def test_it_learns_what_can_be_learned(encoder, subwords):
    _, scores = fit(encoder, {"nli": nli(64, subwords)}, epochs=40)
    assert scores["nli"]["accuracy"] > 95


@pytest.mark.parametrize(("rows", "chance"), [(choices, 33), (masked_words, 15)])
def test_choices_and_masked_words_are_learned(encoder, subwords, rows, chance):
    _, scores = fit(encoder, {"toy": rows(160, subwords)}, epochs=15, learning_rate=0.003, prediction_tokens=200)
    assert scores["toy"]["accuracy"] > 1.7 * chance


def test_a_joint_step_trains_both_heads_and_keeps_them_apart(encoder, subwords):
    data = {"nli": nli(64, subwords), "tags": tags(32, subwords)}
    weights, scores = fit(encoder, data, epochs=60)
    assert scores["tags"]["f1"] > 95 and scores["nli"]["accuracy"] > 80
    assert {name.split(".")[1] for name in weights if name.startswith("heads.")} == {"nli", "tags"}


def test_the_same_seed_gives_the_same_weights_and_dropout_is_on(encoder, subwords):
    data = {"nli": nli(32, subwords)}
    one, two, off = (fit(encoder, data, dropout=d)[0] for d in (0.2, 0.2, 0.0))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], off[name]) for name in one)


@pytest.mark.parametrize("task", [nli, tags])
def test_a_batch_and_its_micro_batches_give_the_same_weights(encoder, subwords, task):
    data = {"toy": task(40, subwords)}
    whole, _ = fit(encoder, data)
    parts, _ = fit(encoder, data, micro_batch_tokens=40)
    for name in whole:
        torch.testing.assert_close(whole[name], parts[name], rtol=0, atol=2e-5)


def test_gradient_checkpointing_changes_no_weight(encoder, subwords):
    data = {"nli": nli(32, subwords)}
    one, two = (fit(encoder, data, gradient_checkpointing=on)[0] for on in (False, True))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=2e-6)


def test_it_trains_like_a_plain_loop(encoder, subwords):
    """The same steps by torch and transformers alone: whole batches, the whole embedding, one AdamW."""
    data, settings = nli(40, subwords), Settings.read(SETTINGS | {"weight_decay": 0.1, "micro_batch_tokens": 40})
    trained, _ = fit(encoder, {"nli": data}, weight_decay=0.1, micro_batch_tokens=40)

    set_seed(7)
    generator = np.random.default_rng(7)
    steps = len(sample_tasks({"nli": data}, settings, generator))
    plain = copy.deepcopy(encoder)
    head = data.task.make_head(plain, 0.0)
    named = [*plain.named_parameters(), *head.named_parameters()]
    not_decayed = [weight for name, weight in named if name.endswith("bias") or "LayerNorm" in name]
    decayed = [weight for name, weight in named if not (name.endswith("bias") or "LayerNorm" in name)]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": not_decayed, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
    schedule = get_linear_schedule_with_warmup(optimizer, round(0.1 * steps), steps)
    for rows in training_batches(data.train.lengths, settings.batch_size, steps, generator):
        batch = data.train.tensors(rows, plain.config.pad_token_id)
        mask = batch["attention_mask"]
        logits = head(plain(batch["input_ids"], attention_mask=mask).last_hidden_state, mask)
        torch.nn.functional.cross_entropy(logits, batch["labels"]).backward()
        torch.nn.utils.clip_grad_norm_([*plain.parameters(), *head.parameters()], settings.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    moved = 0.0
    for name, weight in plain.named_parameters():
        torch.testing.assert_close(trained[f"encoder.{name}"], weight.detach(), rtol=0, atol=2e-5)
        moved = max(moved, (weight - dict(encoder.named_parameters())[name]).abs().max().item())
    assert moved > 1e-2  # so 2e-5 is rounding


def test_masked_words_share_the_embeddings_of_the_encoder(encoder, subwords):
    before = encoder.get_input_embeddings().weight.clone()
    weights, _ = fit(encoder, {"toy": masked_words(32, subwords)})
    assert not any(weight.shape == before.shape for name, weight in weights.items() if name.startswith("heads."))
    assert not torch.equal(weights["encoder.embeddings.word_embeddings.weight"], before)


def test_the_best_weights_come_with_their_score():
    model = torch.nn.Linear(1, 1)
    best, last = Best("best"), Best("last")
    for weight, accuracy in ((1.0, 60.0), (2.0, 80.0), (3.0, 70.0)):
        torch.nn.init.constant_(model.weight, weight)
        for weights in (best, last):
            weights.update(model, {"nli": {"accuracy": accuracy}}, {"nli": "not learned"} if accuracy < 70 else {})
    assert last.restore(model) == ({"nli": {"accuracy": 70.0}}, {})
    assert model.weight.item() == 3.0
    assert best.restore(model) == ({"nli": {"accuracy": 80.0}}, {})
    assert model.weight.item() == 2.0


def test_a_step_with_fewer_examples_than_processes_is_refused(encoder, subwords, monkeypatch):
    monkeypatch.setattr("accelerate.Accelerator.num_processes", 3)
    with pytest.raises(
        InputError,
        match=r"params.yaml: training\.batch_size is 2; it must be at least 3, one example for each process: "
        r"-S training\.batch_size=3$",
    ):
        fit(encoder, {"nli": nli(8, subwords)}, batch_size=2)


def test_learning_rate_and_gradient_norm_are_recorded_beside_the_loss(encoder, subwords, tmp_path):
    """The norm is the one before clipping; the learning rate is the one that the step used."""
    settings = Settings.read(SETTINGS | {"epochs": 5, "max_grad_norm": 0.001})
    resume = Resume("toy", "curves", (), [])
    with (
        record_curves(tmp_path / "curves", resume) as live,
        toy_accelerator(settings, live=live) as accelerator,
    ):
        Trainer(accelerator, encoder, {"nli": nli(32, subwords)}, settings, 7, "toy").train()
    curves = {}
    for path in (tmp_path / "curves/train").iterdir():
        lines = [line.split("\t") for line in path.read_text().splitlines()]
        assert lines[0] == ["step", path.stem] and [int(step) for step, _ in lines[1:]] == list(range(1, 21))
        curves[path.stem] = [float(value) for _, value in lines[1:]]
    assert set(curves) == {"loss", "learning_rate", "gradient_norm"}
    schedule = [0, 1 / 2, *(1 - step / 18 for step in range(18))]  # two steps of warm-up
    assert curves["learning_rate"] == pytest.approx([0.003 * share for share in schedule], rel=1e-5)
    assert min(curves["gradient_norm"]) > 0.01


def test_steps_that_fp16_overflow_skips_do_not_count_in_the_mean_gradient_norm(encoder, subwords, monkeypatch):
    skipped = iter([True, False, False, True, *[True] * 4])
    monkeypatch.setattr("accelerate.Accelerator.optimizer_step_was_skipped", property(lambda _: next(skipped)))
    monkeypatch.setattr("accelerate.Accelerator.clip_grad_norm_", lambda *_: torch.tensor(2.0))
    logged: list[dict[str, float]] = []
    monkeypatch.setattr("accelerate.Accelerator.log", lambda _, values, step: logged.append(values))
    settings = Settings.read(SETTINGS | {"evaluations": 1})
    with toy_accelerator(settings) as accelerator:
        trainer = Trainer(accelerator, encoder, {"nli": nli(32, subwords)}, settings, 7, "toy")
        trainer.log_interval = 4
        trainer.train()
    norms = [values.get("train/gradient_norm") for values in logged if "train/loss" in values]
    assert norms == [2.0, None]


def test_a_lexical_step_changes_the_attention_of_one_layer_and_pulls_its_pairs_together(encoder, subwords):
    options = {"kind": "lexical", "layer": 1, "rank": 4, "alpha": 8, "temperature": 0.05, "max_length": 8}
    words = [("cat", "red"), ("dog", "blue"), ("house", "big"), ("Anna", "small"), ("Ben", "in"), ("Paris", "who")]
    data, adapted = make_data("lexical", [{"source": a, "target": b} for a, b in words], options, subwords), encoder
    original, task = copy.deepcopy(encoder), data.task
    assert isinstance(task, LexicalTask)
    settings = Settings.read(SETTINGS | {"epochs": 20, "batch_size": 6, "learning_rate": 0.02})
    with (
        toy_accelerator(settings) as accelerator,
        task.adapting(accelerator, adapted, data, settings.prediction_tokens) as cosines,
    ):
        Trainer(accelerator, adapted, {"tli": data}, settings, 5, "tli").train()
    with toy_accelerator(settings) as accelerator:
        far, near = (
            float(task.loss(task.embedder.embed(accelerator, one, data.train, settings.prediction_tokens, [1])[0], {}))
            for one in (original, adapted)
        )
    assert near < far / 4
    before, after = original.state_dict(), adapted.state_dict()
    assert after.keys() == before.keys() and all(weight.requires_grad for weight in adapted.parameters())
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    modules = ("self.query", "self.key", "self.value", "output.dense")
    assert changed == {f"encoder.layer.0.attention.{name}.weight" for name in modules}
    # A value per hidden state; that of the embeddings stays.
    (embeddings, *layers), (embeddings_after, *layers_after) = cosines["seen-before"], cosines["seen-after"]
    assert embeddings_after == embeddings and len(layers) == 2 and layers_after[0] != layers[0]


class ScriptedTrainer(Trainer):
    """Ends as its seed says: not finite, flagged, or well."""

    def __init__(self, accelerator, encoder, data, settings, seed, name, resume):
        self.outcome = seed
        super().__init__(accelerator, encoder, data, settings, 7, name, resume)

    def train(self):
        if self.outcome == "not finite":
            raise NotFinite("the loss is nan at step 1")
        return replace(super().train(), flags={"nli": "not learned"} if self.outcome == "flagged" else {})


def test_a_failed_training_is_repeated_with_the_next_seed(encoder, subwords, tmp_path, monkeypatch):
    """The first attempt without problems is kept, or the last one."""
    monkeypatch.setenv("STILTWALK_RESUME", str(tmp_path / "states"))
    monkeypatch.setattr("stiltwalk.training.trainer.Trainer", ScriptedTrainer)
    data = {"nli": nli(24, subwords)}

    def train(retries, outcomes):
        settings = Settings.read(SETTINGS | {"retries": retries})
        resume = Resume("toy", "retries", (), [])
        with record_curves(tmp_path / "curves", resume) as live, toy_accelerator(settings, 1, live) as accelerator:
            load = lambda: copy.deepcopy(encoder)  # noqa: E731
            return train_with_retries(accelerator, load, data, settings, outcomes.__getitem__, "toy", resume).problems

    assert train(0, ["well"]) == {}
    problems = train(2, ["not finite", "flagged", "well"])
    assert problems == {"attempts": ["the loss is nan at step 1", "nli not learned"]}
    curve = (tmp_path / "curves/train/loss.tsv").read_text().split("\n")[1:-1]
    steps = [json.loads(line.split()[0]) for line in curve]
    assert steps == sorted(set(steps))  # of the last attempt only
    problems = train(1, ["flagged", "flagged"])
    assert problems == {"flags": {"nli": "not learned"}, "attempts": ["nli not learned"]}
    with pytest.raises(NotFinite):
        train(0, ["not finite"])


def test_a_loss_that_is_not_finite_ends_the_training(encoder, subwords, monkeypatch):
    loss = PairTask.loss
    monkeypatch.setattr(PairTask, "loss", lambda *arguments: loss(*arguments) * torch.nan)
    message = (
        r"toy: the loss is nan at step 1; training\.learning_rate is 0\.003: try a lower one, such as "
        r"-S training\.learning_rate=0\.0015$"
    )
    with pytest.raises(NotFinite, match=message):
        fit(encoder, {"nli": nli(16, subwords)})


def test_seeds_differ_by_name_and_attempt():
    seeds = [seed_for(*arguments) for arguments in ((1, "mnli"), (2, "mnli"), (1, "squad"), (1, "mnli", 1))]
    assert len(set(seeds)) == 4 and seed_for(1, "mnli", 0) == seeds[0]
    assert all(0 <= seed < 2**32 for seed in seeds)
