"""The cost of a sweep, estimated before it runs: trainings, processor time, wall time, disk.

A stage is expected to take as long as the same stage took on this machine before (utils/durations.py). The time of a
stage that never ran here is estimated from its tokens and from the speed of a few training steps (calibrate.py).
"""

import json
import math
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from stiltwalk.sweep.experiments import SWEEP_FOLDER, completed_stages, last_line
from stiltwalk.sweep.graph import Task
from stiltwalk.sweep.plan import Sweep
from stiltwalk.sweep.stages import Stage, shared_stages, stages_of
from stiltwalk.sweep.trie import Order
from stiltwalk.tasks.base_spec import load_spec
from stiltwalk.utils.durations import FILE, VARIABLE, digest_of_work
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.files import write_json
from stiltwalk.utils.params import read_yaml

UNKNOWN_ROWS = 100_000  # of a split whose size no record states
START_SECONDS = 0.5  # until a stage that starts warm begins to train
LIGHT_STAGE_SECONDS = 1.5  # of a stage that does not train
STAGE_OVERHEAD_SECONDS = 0.8  # of DVC and the start of a process, for every stage that runs
EXPERIMENT_OVERHEAD_SECONDS = 6.0  # of an experiment in which nothing runs
CALIBRATIONS, CALIBRATION_LIFETIME = Path(".dvc/tmp/speed.json"), 3600  # seconds until speed is measured again
SOURCE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Cost:
    """Seconds of a processor or GPU."""

    tasks: dict[str, float]
    """By task: a stage counts for the first task that has it."""
    measured: int
    """Stages whose duration is known from this machine."""
    estimated: int
    """Stages whose duration is estimated from tokens."""
    checkpoint_bytes: int
    """0 if the size of the encoder is not known yet."""

    @property
    def total(self) -> float:
        return sum(self.tasks.values())


class Speed:
    """Durations of stages on this machine."""

    def __init__(self, root: Path):
        self.root = root
        self.weights = 0  # of the encoder, once it is calibrated
        self.calibrations: dict[str, dict[str, float]] = {}
        saved = root / CALIBRATIONS
        if saved.is_file() and time.time() - saved.stat().st_mtime < CALIBRATION_LIFETIME:
            self.calibrations = json.loads(saved.read_text(encoding="utf-8"))
        self.durations: dict[str, list[float]] = defaultdict(list)
        paths = [Path(os.environ.get(VARIABLE, root / FILE)), *sorted((root / SWEEP_FOLDER).glob("*/attempts/*.jsonl"))]
        for path in filter(Path.is_file, paths):
            for line in path.read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                self.durations[record["work"]].append(record["seconds"])

    def seconds(self, stage: Stage, params: dict[str, Any]) -> tuple[float, bool]:
        """Return how long the stage takes, and whether that was measured."""
        if durations := self.durations.get(digest_of_work(params, stage.script, stage.arguments)):
            return median(durations[-5:]), True
        tokens = estimate_tokens(stage, params)
        if tokens is None:
            return LIGHT_STAGE_SECONDS, False
        return START_SECONDS + tokens / self.tokens_per_second(params), False

    def tokens_per_second(self, params: dict[str, Any]) -> float:
        """Return the training speed with these parameters' encoder, measured at most once an hour."""
        spec = json.dumps({"encoder": params["encoder"], "training": params["training"]})
        if spec not in self.calibrations:
            print("measuring the training speed of this machine, half a minute ...", file=sys.stderr)
            done = subprocess.run(
                [sys.executable, "-m", "stiltwalk.sweep.calibrate"],
                cwd=self.root,
                env=os.environ | {"PYTHONPATH": str(SOURCE), "TQDM_DISABLE": "1"},  # tqdm reads it when imported
                input=spec,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise InputError(f"the training speed cannot be measured: {last_line(done.stderr)}")
            self.calibrations[spec] = json.loads(done.stdout.splitlines()[-1])
            if (self.root / ".dvc").is_dir():
                write_json(self.calibrations, self.root / CALIBRATIONS)
        self.weights = int(self.calibrations[spec]["weights"])
        return self.calibrations[spec]["tokens_per_s"]


def estimate_tokens(stage: Stage, params: dict[str, Any]) -> float | None:
    """Return the tokens that a stage trains on, a predicted token counted as a third; None if it does neither."""
    plan, targets = params["plan"], params["plan"]["targets"]
    if stage.group == "encoder":
        encoder = params["encoder"]
        return encoder["steps"] * encoder["batch_size"] * 0.4 * encoder["max_length"] if "steps" in encoder else 0
    if stage.group == "retention":
        return 0
    if stage.group == "trajectory":
        return searched_tokens(targets["tatoeba"], params)
    if stage.group == "retrieval":
        return searched_tokens(targets[stage.name], params)
    if stage.group in ("target", "target_pair"):
        first, *others = [targets[name] for name in stage.arguments]
        untrained = {"epochs": 0, "evaluations": 1}
        return tuned_tokens(first, first["training"], params) + sum(
            tuned_tokens(other, other["training"] | untrained, params) for other in others
        )
    if stage.group == "intermediate":
        mixture = plan["mixtures"][plan["steps"][stage.name]["mixture"]]
        blocks = [(mixture["data"][task], mixture["tasks"][task], mixture["training"]) for task in mixture["tasks"]]
        return sum(trained_tokens(*block, joint=len(blocks) > 1) for block in blocks)
    return None


def searched_tokens(target: dict[str, Any], params: dict[str, Any]) -> float:
    """Return a third of the tokens that retrieval embeds: both sides of every language's test."""
    data, task = target["data"], target["task"]
    fill = load_spec(task["kind"]).typical_fill
    return 2 * count_test_languages(data, params) * split_rows(data, "test") * fill * task["max_length"] / 3


def tuned_tokens(target: dict[str, Any], training: dict[str, Any], params: dict[str, Any]) -> float:
    """Return the tokens of tuning a target and predicting its tests."""
    data, task = target["data"], target["task"]
    tests = count_test_languages(data, params) * split_rows(data, "test")
    return trained_tokens(data, task, training) + row_tokens(task) * tests / 3


def count_test_languages(data: dict[str, Any], params: dict[str, Any]) -> int:
    """Return the number of languages in which a target is tested."""
    return len(data["languages"]) if "languages" in data else 1 + len(params["world"]["languages"])


def trained_tokens(data: dict[str, Any], task: dict[str, Any], training: dict[str, Any], joint: bool = False) -> float:
    """Return the tokens of one training: its training rows, and a third of its validation rows."""
    rows = split_rows(data, "train")
    if training["sampler"] == "capped" and joint:
        rows = min(rows, training["cap"])
    predicted = training["evaluations"] * split_rows(data, "validation")
    return row_tokens(task) * (rows * training["epochs"] + predicted / 3)


def row_tokens(task: dict[str, Any]) -> float:
    """Return the typical number of tokens in a row of a task."""
    spec = load_spec(task["kind"])
    return float(spec.typical_fill * task["max_length"] * spec.sequences_per_row(task["labels"]))


def split_rows(data: dict[str, Any], split: str) -> int:
    """Return the rows of a split: the size of its sample, or all that its record states."""
    if sample := data["sample"].get(split):
        return int(sample)
    parts = data.get(split, [])
    sizes = [part.get("published") for part in (parts if isinstance(parts, list) else [parts])]
    return sum(max(size.values()) if isinstance(size, dict) else size for size in sizes if size) or UNKNOWN_ROWS


@dataclass
class Estimator:
    """Adds up stages, each only once."""

    speed: Speed
    counted: set[tuple[Any, ...]] = field(default_factory=set)
    measured: int = 0
    estimated: int = 0

    def add(self, stages: Iterable[Stage], params: dict[str, Any]) -> float:
        """Return the seconds of the stages that were not counted before, run as one experiment."""
        total = EXPERIMENT_OVERHEAD_SECONDS
        for stage in stages:
            if stage.key not in self.counted:
                self.counted.add(stage.key)
                seconds, is_measured = self.speed.seconds(stage, params)
                self.measured += is_measured
                self.estimated += not is_measured
                total += seconds + STAGE_OVERHEAD_SECONDS
        return total


def estimate_cost(sweep: Sweep, tasks: Sequence[Task], done: Set[tuple[Order, int]] = frozenset()) -> Cost:
    """Estimate what is left of a sweep. done: the experiments that have finished."""
    completed = completed_stages(sweep.params.values(), sweep.root)
    estimator = Estimator(Speed(sweep.root))
    estimator.counted |= {stage.key for order, seed in done for stage in stages_of(sweep, order, seed)}
    estimator.counted |= {
        stage.key
        for order in sweep.orders
        for stage in shared_stages(sweep.params[order])
        if stage.dvc_name in completed
    }
    seconds = {
        task.name: sum(estimator.add(part.stages, sweep.params[part.order]) for part in task.parts) for task in tasks
    }
    params = sweep.params[sweep.orders[0]]
    size = encoder_bytes(sweep.root, params["encoder"]) or 4 * estimator.speed.weights
    size //= 2 if params["checkpoints"] == "bfloat16" else 1
    return Cost(seconds, estimator.measured, estimator.estimated, size)


def encoder_bytes(root: Path, encoder: dict[str, Any]) -> int:
    """Return the size of the encoder in the working tree; 0 if it is another one, or there is none."""
    weights, params = root / "models/0-encoder/encoder/model.safetensors", root / "params.yaml"
    if not (weights.is_file() and params.is_file()):
        return 0
    return weights.stat().st_size if read_yaml(params.read_text(encoding="utf-8"))["encoder"] == encoder else 0


def format_duration(seconds: float) -> str:
    """Format seconds as `41 min` or `3 h 20 min`."""
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
