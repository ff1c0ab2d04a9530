"""Two processes train the same model as one, whether they share its weights (FSDP) or each have all of them (DDP)."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import PartialState
from accelerate.utils import DistributedType

from conftest import reset_accelerate
from stiltwalk.models.checkpoint import load_encoder, save_checkpoint
from stiltwalk.models.multitask import submodule_weights
from stiltwalk.models.resume import Resume
from stiltwalk.tasks.base_data.row_tokenizer import SubwordTokenizer
from stiltwalk.training.accelerator import make_accelerator
from stiltwalk.training.evaluation import logits_of
from stiltwalk.training.settings import Settings
from stiltwalk.training.trainer import Trainer
from toy import SETTINGS, nli, tags

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    yield
    reset_accelerate()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "keep", "precision"),
    [("gpus", "last", "no"), ("gpus", "last", "bf16"), ("fsdp", "best", "no"), ("fsdp", "last", "bf16")],
)
def test_two_processes_train_the_same_model_as_one(
    file, keep, precision, toy_folder, tmp_path, monkeypatch, warm_commands
):
    """The same global batch over gloo; equal to rounding. Half of the cases start warm."""
    monkeypatch.setenv("STILTWALK_RESUME", str(tmp_path / "states"))
    train_and_save(str(toy_folder), str(tmp_path / "1"), keep, precision)
    started = warm_commands if precision == "bf16" else {}
    done = start(started, file, toy_folder, tmp_path / "2", keep, precision)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (torch.load(tmp_path / str(n), weights_only=True) for n in (1, 2))
    assert (one.pop("ways"), two.pop("ways")) == ("NO", "FSDP" if file == "fsdp" else "MULTI_CPU")
    assert one.keys() == two.keys()
    # Training moves the weights by about their own size.
    alone, together = (torch.cat([weight.flatten() for weight in weights.values()]) for weights in (one, two))
    assert (alone - together).norm() < {"no": 1e-5, "bf16": 0.05}[precision] * alone.norm()
    encoders = [dict(load_encoder(tmp_path / f"{n}-encoder").named_parameters()) for n in (1, 2)]
    for name, weight in encoders[0].items():
        assert torch.equal(weight, one[f"encoder.{name}"]) and torch.equal(encoders[1][name], two[f"encoder.{name}"])


@pytest.mark.slow
@pytest.mark.parametrize("file", ["gpus", "fsdp"])
def test_two_processes_of_which_one_is_stopped_resume_to_the_same_bytes(file, toy_folder, tmp_path, warm_commands):
    arguments = ["best", "no", "0.1"]
    assert start(warm_commands, file, toy_folder, tmp_path / "whole", *arguments).returncode == 0
    for step in ("7", "12"):  # the first evaluation is at 10
        parts = tmp_path / f"parts-{step}"
        done = start(warm_commands, file, toy_folder, parts, *arguments, step)
        assert done.returncode and f"toy: stopped; the same command resumes after step {step}" in done.stdout
        assert not parts.exists()
        done = start(warm_commands, file, toy_folder, parts, *arguments)
        assert done.returncode == 0 and f"toy: resuming after step {step} of" in done.stdout, done.stderr[-3000:]
        resumed, unbroken = (torch.load(path, weights_only=True) for path in (parts, tmp_path / "whole"))
        assert resumed.keys() == unbroken.keys()
        assert all(torch.equal(value, resumed[name]) for name, value in unbroken.items() if name != "ways")


def train_and_save(folder: str, out: str, keep: str, precision: str, dropout: str = "0", stop: str = "0") -> None:
    """Train two tasks and write weights, logits and encoder. The second process gets a signal after step `stop`."""
    encoder, subwords = load_encoder(Path(folder), dropout=float(dropout)), SubwordTokenizer(Path(folder))
    settings = Settings.read(SETTINGS | {"micro_batch_tokens": 40, "keep": keep, "mixed_precision": precision})
    data = {"tags": tags(40, subwords), "nli": nli(40, subwords)}
    resume, calls = Resume("toy", [keep, precision, dropout], (), []), itertools.count(1)
    due = resume.due

    def due_and_signal(accelerator, *more):
        if next(calls) == int(stop) and accelerator.process_index:
            os.kill(os.getpid(), signal.SIGTERM)
        return due(accelerator, *more)

    setattr(resume, "due", due_and_signal)  # noqa: B010
    if os.environ.get("ACCELERATE_USE_FSDP"):  # Accelerate allows it on GPUs only; torch has it on CPUs too
        PartialState(True)
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    with make_accelerator(settings, tasks=2) as accelerator:
        model = Trainer(accelerator, encoder, data, settings, 7, "toy", resume).train().model
        logits = logits_of(accelerator, model, "nli", data["nli"].train, settings)
        facts = {"ways": accelerator.distributed_type.value, "logits": torch.tensor(np.array(logits))}
        weights = accelerator.get_state_dict(model)
        if accelerator.is_main_process:
            torch.save({**weights, **facts}, out)
            save_checkpoint(model.encoder, submodule_weights(weights, "encoder"), Path(folder), Path(f"{out}-encoder"))
    resume.remove()


def start(variables: dict[str, str], file: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `train_and_save` in two processes, as a file of launch/ describes them, with more environment variables."""
    folder = Path(str(arguments[1])).parent
    environment = (
        os.environ
        | variables
        | {
            "PYTHONPATH": "src",
            "OMP_NUM_THREADS": "1",
            "ACCELERATE_USE_CPU": "true",
            "STILTWALK_TIMES": str(folder / "none/times"),
            "STILTWALK_RESUME": str(folder / "states"),
            "STILTWALK_LAUNCH": f"launch/{file}.yaml",
        }
    )
    command = [sys.executable, "tests/training/launched.py", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT, timeout=120)
