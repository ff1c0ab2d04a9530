"""A training that is stopped and resumed ends with the same bytes as one that was not."""

import copy
import itertools
import os
import shutil
import signal
from typing import Any

import pytest
import torch

from stiltwalk.models.resume import STOPPED, Resume, minutes
from stiltwalk.training.curves import record_curves
from stiltwalk.training.settings import Settings
from stiltwalk.training.trainer import Trainer
from stiltwalk.utils.errors import InputError
from toy import SETTINGS, nli, tags, toy_accelerator

CHANGES = {"dropout": 0.1, "epochs": 3, "evaluations": 4, "keep": "best"}


@pytest.fixture(autouse=True)
def states(tmp_path, monkeypatch):
    """The folder of saved states."""
    monkeypatch.setenv("STILTWALK_RESUME", str(tmp_path / "states"))
    return tmp_path / "states"


def fit(encoder, data, folder, stop_at=None, facts="one", number=signal.SIGTERM, **changes):
    """Train with curves. stop_at: the step in which the process receives a signal, as from a cluster."""
    settings = Settings.read(SETTINGS | CHANGES | changes)
    resume, steps = Resume("toy", facts, (), []), 0
    due = resume.due

    def due_and_signal(accelerator, *more):
        nonlocal steps
        steps += 1
        if steps == stop_at:
            for _ in range(1 if number == signal.SIGINT else 3):
                os.kill(os.getpid(), number)
        return due(accelerator, *more)

    setattr(resume, "due", due_and_signal)  # noqa: B010
    with (
        record_curves(folder / "curves", resume) as live,
        toy_accelerator(settings, len(data), live) as accelerator,
    ):
        result = Trainer(accelerator, copy.deepcopy(encoder), data, settings, 7, "toy", resume).train()
    resume.remove()
    curves = {path.name: path.read_bytes() for path in (folder / "curves").rglob("*.tsv")}
    return result.model.state_dict(), result.scores, result.flags, curves, steps


@pytest.mark.parametrize(("stop", "number"), [(1, signal.SIGTERM), (7, signal.SIGINT), (12, signal.SIGTERM)])
def test_a_stopped_training_resumes_to_the_same_bytes(encoder, subwords, tmp_path, states, stop, number):
    data = {"nli": nli(24, subwords), "tags": tags(24, subwords)}
    whole = fit(encoder, data, tmp_path / "whole")
    handler = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended:
        fit(encoder, data, tmp_path / "parts", stop_at=stop, number=number)
    assert ended.value.code == STOPPED and signal.getsignal(number) is handler
    assert not (tmp_path / "parts/curves").exists()  # no half-written output
    fit(encoder, data, tmp_path / "other", facts="other")  # a training with other parameters does not resume from it
    parts = fit(encoder, data, tmp_path / "parts")
    assert parts[4] == whole[4] - stop
    assert all(torch.equal(parts[0][name], weight) for name, weight in whole[0].items())
    assert parts[1:4] == whole[1:4]
    assert parts[3].keys() == {"loss.tsv", "learning_rate.tsv", "gradient_norm.tsv", "accuracy.tsv", "f1.tsv"}
    assert not list(states.iterdir())


def test_a_state_is_saved_at_intervals(encoder, subwords, tmp_path, monkeypatch):
    monkeypatch.setenv("STILTWALK_SAVE_MINUTES", "1e-9")
    saved = []
    save = Resume.save

    def count_and_save(self, *rest):
        saved.append(rest)
        save(self, *rest)

    monkeypatch.setattr(Resume, "save", count_and_save)
    *_, steps = fit(encoder, {"nli": nli(24, subwords)}, tmp_path)
    assert len(saved) == steps == 9
    monkeypatch.setenv("STILTWALK_SAVE_MINUTES", "0")
    fit(encoder, {"nli": nli(24, subwords)}, tmp_path)
    assert len(saved) == 9
    monkeypatch.setenv("STILTWALK_SAVE_MINUTES", "often")
    with pytest.raises(InputError, match="STILTWALK_SAVE_MINUTES is 'often'"):
        minutes()


def test_a_language_is_not_predicted_twice(tmp_path, monkeypatch):
    rows = tmp_path / "rows"
    rows.write_text("some")
    calls = itertools.count(1)

    def mine(facts: int) -> Any:
        resume = Resume("bucc2018", facts, (), [rows])
        return resume.compute_once("de", lambda: [[["s", "t"]], {"call": next(calls)}])

    assert mine(1) == mine(1) == [[["s", "t"]], {"call": 1}]
    assert mine(2)[1] == {"call": 2}  # with other parameters, and then with other rows
    rows.write_text("others")
    assert mine(2)[1] == {"call": 3}
    Resume("bucc2018", 2, (), [rows]).remove()
    monkeypatch.setenv("STILTWALK_SAVE_MINUTES", "0")
    assert [mine(2)[1], mine(2)[1]] == [{"call": 4}, {"call": 5}]


def test_other_code_does_not_resume():
    names = [Resume("toy", "one", code, []).folder for code in ((), ("stiltwalk/training",), ("stiltwalk/perf",))]
    assert len(set(names)) == 3
    with pytest.raises(FileNotFoundError):
        Resume("toy", "one", ("stiltwalk/none",), []).folder  # noqa: B018


def test_a_truncated_state_is_named(encoder, subwords, tmp_path, states):
    data = {"nli": nli(24, subwords)}
    with pytest.raises(SystemExit):
        fit(encoder, data, tmp_path, stop_at=4)
    [state] = states.iterdir()
    weights = state / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match=f"{state} holds a state that cannot be read .*; remove it"):
        fit(encoder, data, tmp_path)


class Planted:
    """Creates a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_no_pickle_in_a_state_is_executed(encoder, subwords, tmp_path, states):
    data = {"nli": nli(24, subwords)}
    with pytest.raises(SystemExit):
        fit(encoder, data, tmp_path, stop_at=4)
    [state] = states.iterdir()
    whole = replace_folder(state, tmp_path / "copy")
    (state / "model.safetensors").rename(state / "pytorch_model.bin")
    names = [path.name for path in state.iterdir() if path.suffix in (".bin", ".pkl")]
    assert {"pytorch_model.bin", "optimizer.bin", "random_states_0.pkl"} <= set(names)
    for name in names:  # one at a time: reading ends at the first
        replace_folder(whole, state)
        if name == "pytorch_model.bin":
            (state / "model.safetensors").unlink()
        torch.save(Planted(tmp_path / "executed"), state / name)
        with pytest.raises(InputError, match="cannot be read"):
            fit(encoder, data, tmp_path)
        assert not (tmp_path / "executed").exists()


def replace_folder(folder, other):
    """Copy a folder in the place of another one."""
    shutil.rmtree(other, ignore_errors=True)
    return shutil.copytree(folder, other)
