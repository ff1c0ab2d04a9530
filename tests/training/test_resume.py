"""A training that is stopped and goes on ends as one that was not; one that went wrong is said to be wrong."""

import copy
import itertools
import json
import os
import shutil
import signal
from typing import Any

import pyarrow as pa
import pytest
import torch
from test_loop import BLOCK, nli, tags

from conftest import reset_accelerate
from stiltwalk.models.multitask import MultiTaskModel
from stiltwalk.models.resume import ENDED, Resume, minutes
from stiltwalk.tasks.choice import head as choice
from stiltwalk.tasks.pair import head as pair
from stiltwalk.tasks.qa import head as qa
from stiltwalk.tasks.base_rows import load_rows
from stiltwalk.tasks.tagging import head as tagging
from stiltwalk.training.flags import flag
from stiltwalk.training.settings import Settings
from stiltwalk.training.trainer import NotFinite, accelerating, logits_of, recording, train, train_soundly
from stiltwalk.utils.errors import InputError

CHANGES = {"dropout": 0.1, "epochs": 3, "evaluations": 4, "keep": "best"}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("STILTWALK_RESUME", str(tmp_path / "states"))
    return tmp_path / "states"


def fit(encoder, data, place, stop_at=None, facts="one", number=signal.SIGTERM, **changes):
    """Train with curves; `stop_at`: the step in which the process is told to end, as by a cluster."""
    reset_accelerate()
    settings = Settings.read(BLOCK | CHANGES | changes)
    resume, count = Resume("toy", facts, (), []), 0
    due = resume.due

    def told(accelerator, *more):
        nonlocal count
        count += 1
        if count == stop_at:
            for _ in range(1 if number == signal.SIGINT else 3):
                os.kill(os.getpid(), number)
        return due(accelerator, *more)

    setattr(resume, "due", told)  # noqa: B010
    with recording(place / "curves", resume) as live, accelerating(settings, len(data), live) as accelerator:
        model, scores, flags = train(accelerator, copy.deepcopy(encoder), data, settings, 7, "toy", resume)
    resume.remove()
    curves = {path.name: path.read_bytes() for path in (place / "curves").rglob("*.tsv")}
    return model.state_dict(), scores, flags, curves, count


@pytest.mark.parametrize(("stop", "number"), [(1, signal.SIGTERM), (7, signal.SIGINT), (12, signal.SIGTERM)])
def test_a_training_that_was_told_to_end_goes_on_to_the_same_bytes(encoder, subwords, tmp_path, place, stop, number):
    data = {"nli": nli(24, subwords), "tags": tags(24, subwords)}
    whole = fit(encoder, data, tmp_path / "whole")
    handler = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended:
        fit(encoder, data, tmp_path / "parts", stop_at=stop, number=number)
    assert ended.value.code == ENDED and signal.getsignal(number) is handler
    assert not (tmp_path / "parts/curves").exists()  # no half-written output
    fit(encoder, data, tmp_path / "other", facts="other")  # a training of other parameters does not take it up
    parts = fit(encoder, data, tmp_path / "parts")
    assert parts[4] == whole[4] - stop
    assert all(torch.equal(parts[0][name], weight) for name, weight in whole[0].items())
    assert parts[1:4] == whole[1:4] and len(parts[3]) >= 3
    assert not list(place.iterdir())


def test_a_state_is_saved_when_its_time_has_come(encoder, subwords, tmp_path, place, monkeypatch):
    monkeypatch.setenv("STILTWALK_SAVE_MINUTES", "1e-9")
    saved = []
    save = Resume.save

    def counted(self, *rest):
        saved.append(rest)
        save(self, *rest)

    monkeypatch.setattr(Resume, "save", counted)
    *_, count = fit(encoder, {"nli": nli(24, subwords)}, tmp_path)
    assert len(saved) == count == 9
    monkeypatch.setenv("STILTWALK_SAVE_MINUTES", "0")
    fit(encoder, {"nli": nli(24, subwords)}, tmp_path)
    assert len(saved) == 9
    monkeypatch.setenv("STILTWALK_SAVE_MINUTES", "often")
    with pytest.raises(InputError, match="STILTWALK_SAVE_MINUTES is 'often'"):
        minutes()


def test_a_language_that_was_predicted_is_not_predicted_again(place, tmp_path, monkeypatch):
    rows = tmp_path / "rows"
    rows.write_text("some")
    calls = itertools.count(1)

    def mined(facts: int) -> Any:
        return Resume("bucc2018", facts, (), [rows]).once("de", lambda: [[["s", "t"]], {"call": next(calls)}])

    assert mined(1) == mined(1) == [[["s", "t"]], {"call": 1}]
    assert mined(2)[1] == {"call": 2}  # of other parameters, and then of other rows
    rows.write_text("others")
    assert mined(2)[1] == {"call": 3}
    Resume("bucc2018", 2, (), [rows]).remove()
    monkeypatch.setenv("STILTWALK_SAVE_MINUTES", "0")
    assert [mined(2)[1], mined(2)[1]] == [{"call": 4}, {"call": 5}]


def test_a_state_that_is_cut_off_is_named(encoder, subwords, tmp_path, place):
    data = {"nli": nli(24, subwords)}
    with pytest.raises(SystemExit):
        fit(encoder, data, tmp_path, stop_at=4)
    [state] = place.iterdir()
    weights = state / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match=f"{state} holds a state that cannot be read .*; remove it"):
        fit(encoder, data, tmp_path)


def test_no_pickle_is_run_where_a_state_holds_one(encoder, subwords, tmp_path, place):
    data = {"nli": nli(24, subwords)}
    with pytest.raises(SystemExit):
        fit(encoder, data, tmp_path, stop_at=4)
    [state] = place.iterdir()

    class Planted:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    whole = copy_of(state, tmp_path / "copy")
    (state / "model.safetensors").rename(state / "pytorch_model.bin")
    names = [path.name for path in state.iterdir() if path.suffix in (".bin", ".pkl")]
    assert {"pytorch_model.bin", "optimizer.bin", "random_states_0.pkl"} <= set(names)
    for name in names:  # each alone: reading ends at the first
        copy_of(whole, state)
        if name == "pytorch_model.bin":
            (state / "model.safetensors").unlink()
        torch.save(Planted(), state / name)
        with pytest.raises(InputError, match="cannot be read"):
            fit(encoder, data, tmp_path)
        assert not (tmp_path / "ran").exists()


def copy_of(folder, other):
    shutil.rmtree(other, ignore_errors=True)
    return shutil.copytree(folder, other)


def test_what_learned_nothing_is_flagged():
    labels = ["a"] * 55 + ["b"] * 45
    rows = [{"text_a": "x", "text_b": "y", "label": label} for label in labels]
    table = pa.Table.from_pylist(rows, load_rows("pair").schema)
    kind = pair.Kind({"labels": ["a", "b"]})
    assert flag(kind, ["a"] * 100, table, 55.0) == "collapsed to 'a': validation accuracy 55.0, a guess 55.0"
    assert flag(kind, ["a", "b"] * 50, table, 60.0).startswith("not learned: validation accuracy 60.0")
    assert flag(kind, labels, table, 70.0) == ""
    four = pa.Table.from_pylist(
        [{"prompt": "", "choices": ["", "", "", ""], "label": i % 4} for i in range(400)], load_rows("choice").schema
    )
    options = {"labels": ["0", "1", "2", "3"]}
    assert flag(choice.Kind(options), [1] * 400, four, 25.0).startswith("collapsed to 1")
    assert flag(choice.Kind(options), [1] * 400, four, 35.0) == ""
    tagged = pa.Table.from_pylist(
        [{"tokens": ["x", "y", "z"], "tags": ["O", "O", "B"]}] * 50, load_rows("tagging").schema
    )
    spans = tagging.Kind({"labels": ["O", "B"]})
    assert flag(spans, [["O", "O", "O"]] * 50, tagged, 0.0) == "collapsed to 'O': validation f1 0.0, a guess 0.0"
    answers = {"text": ["y"], "answer_start": [0]}
    asked = pa.Table.from_pylist(
        [{"id": "1", "question": "x", "context": "y", "answers": answers}], load_rows("qa").schema
    )
    assert flag(qa.Kind({"max_answer_length": 3, "n_best": 2}), ["z"], asked, 0.0).startswith("collapsed to 'z'")


def test_a_collapsed_training_is_tried_again_with_the_next_seed(encoder, subwords, tmp_path, monkeypatch):
    """Attempts end as told, by their seeds; the first that is well is taken, or the last."""
    data = {"nli": nli(24, subwords)}

    def sound(changes, wrong):
        settings = Settings.read(BLOCK | changes)
        resume = Resume("toy", "sound", (), [])
        with recording(tmp_path / "curves", resume) as live, accelerating(settings, 1, live) as accelerator:
            return train_soundly(
                accelerator, lambda: copy.deepcopy(encoder), data, settings, wrong.__getitem__, "toy", resume
            )

    real = train

    def failing(accelerator, encoder, data, settings, seed, name, resume):
        if seed == "not finite":
            raise NotFinite("the loss is nan at step 1")
        model, scores, _ = real(accelerator, encoder, data, settings, 7, name, resume)
        return model, scores, {"nli": "not learned"} if seed == "flagged" else {}

    monkeypatch.setattr("stiltwalk.training.trainer.train", failing)
    *_, told = sound({"retries": 2}, ["not finite", "flagged", "well"])
    assert told == {"attempts": ["the loss is nan at step 1", "nli not learned"]}
    steps = [json.loads(line.split()[0]) for line in (tmp_path / "curves/train/loss.tsv").read_text().split("\n")[1:-1]]
    assert steps == sorted(set(steps))  # of the last attempt alone
    *_, told = sound({"retries": 1}, ["flagged", "flagged"])
    assert told == {"flags": {"nli": "not learned"}, "attempts": ["nli not learned"]}
    with pytest.raises(NotFinite):
        sound({}, ["not finite"])


def test_a_training_that_memory_is_too_small_for_names_what_halves_it(encoder, subwords, tmp_path, monkeypatch):
    """A batch of so many tokens that no machine has the memory, trained on and predicted."""
    rows = {"nli": nli(24, subwords)}

    def huge(*_, **__):
        return torch.empty(1 << 60)

    monkeypatch.setattr(pair.Kind, "loss", huge)
    with pytest.raises(
        InputError, match=r"-S training\.micro_batch_tokens=500, .* -S training\.gradient_checkpointing="
    ):
        fit(encoder, rows, tmp_path)
    monkeypatch.undo()
    with accelerating(Settings.read(BLOCK)) as accelerator:
        model = MultiTaskModel(encoder, {"nli": pair.Kind({"labels": ["a", "b"]}).head(encoder, 0.1)})
        monkeypatch.setattr(encoder, "forward", huge)
        with pytest.raises(InputError, match=r"-S training\.prediction_tokens=32, "):
            logits_of(accelerator, model, "nli", rows["nli"].validation, Settings.read(BLOCK))
