"""What a sweep takes, said before it runs: trainings, processor time, time on the clock, disk.

A stage takes what the same stage took before on this machine (common/times.py); what never ran here is reckoned from
its tokens and the speed that a few training steps of the same encoder show (study/calibrate.py).
"""

import heapq
import json
import math
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from stiltwalk.config.orders import FROZEN, keys
from stiltwalk.sweep.experiments import made
from stiltwalk.sweep.plan import Group, Sweep
from stiltwalk.sweep.trie import Order
from stiltwalk.utils.durations import FILE, VARIABLE, work
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.stage import read_yaml, write_json

# Real tokens of a row, as a share of the most that its kind allows: near the middle of what the tasks here have.
FILLED = {"pair": 0.34, "tagging": 0.25, "qa": 0.4, "choice": 0.3, "text": 0.5, "lexical": 0.3}
ROWS = 100_000  # of a split whose size no record tells
START = 0.5  # seconds until a stage that was started warm trains
PLAIN = 1.5  # seconds of a stage that does not train
STAGE = 0.8  # seconds that DVC and the start of a stage take around every one that runs
EXPERIMENT = 6.0  # seconds of an experiment in which nothing runs
KEPT, HOUR = Path(".dvc/tmp/speed.json"), 3600  # what was measured within the last hour is not measured again
CALIBRATE = Path(__file__).parent / "calibrate.py"


@dataclass(frozen=True)
class Stage:
    """One run of a stage's script; two with the same key are run once."""

    script: str
    name: str
    key: tuple[Any, ...]

    @property
    def of_dvc(self) -> str:
        """What dvc.yaml calls it."""
        return "@".join(filter(None, [self.script.removesuffix(".py"), self.name]))


@dataclass(frozen=True)
class Cost:
    """Seconds of the processor or GPU by experiment (order and seed), as they run one after the other."""

    of: dict[tuple[Order, int], float]
    shared: float
    """Seconds of the encoder and data, which are made before any of them."""
    measured: int
    """Stages whose time is known from this machine."""
    reckoned: int
    """Stages whose time is reckoned from tokens."""
    checkpoint: int
    """Bytes of one checkpoint, 0 where nobody knows yet."""

    def total(self) -> float:
        return self.shared + sum(self.of.values())

    def of_group(self, group: Group) -> float:
        seed, orders = group
        return sum(self.of[order, seed] for order in orders)


def shared_stages(params: dict[str, Any]) -> list[Stage]:
    """Encoder and data of these parameters, which serve every seed."""
    shared = [("world.py", ""), ("encoder.py", "")]
    shared += [(script, mixture) for mixture in params["mixtures"] for script in ("data.py", "encode.py")]
    shared += [(script, target) for target in params["benchmark"] for script in ("xtreme.py", "encode_xtreme.py")]
    return [Stage(script, name, (script, name)) for script, name in shared]


def sharing(sweep: Sweep, done: Set[tuple[Order, int]]) -> Iterator[tuple[Order, list[Stage]]]:
    """Orders, the longest first, each with the encoder and data that neither one before it nor one that is done has."""
    there = {stage.key for order, _ in done for stage in shared_stages(sweep.params[order])}
    for order in sorted(sweep.orders, key=len, reverse=True):
        new = [stage for stage in shared_stages(sweep.params[order]) if stage.key not in there]
        there.update(stage.key for stage in new)
        if new:
            yield order, new


def stages(sweep: Sweep, order: Order, seed: int) -> Iterator[Stage]:
    """All stages of one experiment; a step serves all orders that share it."""
    params = sweep.params[order]
    yield from shared_stages(params)
    for key in params["probes"]:
        steps = order[: int(key.split("-")[0])]
        yield Stage("probe.py", key, ("probe.py", steps, seed if steps else None))
    for count, key in enumerate(keys(order), start=1):
        yield Stage("intermediate.py", key, ("intermediate.py", order[:count], seed))
    for target in params["tunings"]:
        yield Stage("target.py", target, ("target.py", target, order, seed))
    yield Stage("score.py", "", ("score.py", order, seed))


class Speed:
    """Seconds of stages on this machine."""

    def __init__(self, root: Path):
        self.root = root
        self.weights = 0  # of the encoder, where it was calibrated
        self.calibrations: dict[str, dict[str, float]] = {}
        kept = root / KEPT
        if kept.is_file() and time.time() - kept.stat().st_mtime < HOUR:
            self.calibrations = json.loads(kept.read_text(encoding="utf-8"))
        self.known: dict[str, list[float]] = defaultdict(list)
        path = Path(os.environ.get(VARIABLE, root / FILE))
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                note = json.loads(line)
                self.known[note["work"]].append(note["seconds"])

    def seconds(self, stage: Stage, params: dict[str, Any]) -> tuple[float, bool]:
        """What the stage takes, and whether that was measured."""
        if found := self.known.get(work(params, stage.script, stage.name)):
            return median(found[-5:]), True
        if stage.script not in ("encoder.py", "intermediate.py", "target.py", "probe.py"):
            return PLAIN, False
        return START + tokens(stage, params) / self.calibrated(params), False

    def calibrated(self, params: dict[str, Any]) -> float:
        """The tokens a second of these parameters' encoder, measured now."""
        spec = json.dumps({"encoder": params["encoder"], "training": params["training"]})
        if spec not in self.calibrations:
            print("measuring the speed of training on this machine, half a minute ...", file=sys.stderr)
            command = [sys.executable, str(CALIBRATE)]
            done = subprocess.run(command, cwd=self.root, input=spec, capture_output=True, text=True)
            if done.returncode:
                raise InputError(f"the speed of training cannot be measured: {done.stderr.strip().splitlines()[-1]}")
            self.calibrations[spec] = json.loads(done.stdout.splitlines()[-1])
            if (self.root / ".dvc").is_dir():
                write_json(self.calibrations, self.root / KEPT)
        self.weights = int(self.calibrations[spec]["weights"])
        return self.calibrations[spec]["tokens_per_s"]


def tokens(stage: Stage, params: dict[str, Any]) -> float:
    """Tokens that a stage trains on; those that it only predicts count a third."""
    if stage.script == "encoder.py":
        encoder = params["encoder"]
        return encoder["steps"] * encoder["batch_size"] * 0.4 * encoder["max_length"] if "steps" in encoder else 0
    if stage.script == "probe.py":
        retrieval = params["benchmark"].get("tatoeba")
        return _tokens(retrieval["data"], retrieval["task"], retrieval["training"]) if retrieval else 0
    if stage.script == "target.py":
        served = [params["benchmark"][target] for target in params["tunings"][stage.name]["targets"]]
        first, *others = [(block["data"], block["task"], block["training"]) for block in served]
        untrained = {"epochs": 0, "evaluations": 1}
        return _tokens(*first) + sum(_tokens(data, task, training | untrained) for data, task, training in others)
    mixture = params["mixtures"][params["chain"][stage.name]["mixture"]]
    blocks = [(mixture["data"][task], mixture["tasks"][task], mixture["training"]) for task in mixture["tasks"]]
    return sum(_tokens(*block, joint=len(blocks) > 1) for block in blocks)


def _tokens(data: dict[str, Any], task: dict[str, Any], training: dict[str, Any], joint: bool = False) -> float:
    languages = len(data.get("languages", []))
    if task["kind"] in FROZEN:
        return 2 * languages * _size(data, "test") * 0.3 * task["max_length"] / 3
    length = FILLED[task["kind"]] * task["max_length"] * (len(task["labels"]) if task["kind"] == "choice" else 1)
    rows = _size(data, "train")
    if training["sampler"] == "capped" and joint:
        rows = min(rows, training["cap"])
    predicted = training["evaluations"] * _size(data, "validation") + languages * _size(data, "test")
    return length * (rows * training["epochs"] + predicted / 3)


def _size(data: dict[str, Any], split: str) -> int:
    """Rows of a split: what is sampled of it, or all that its record says were published."""
    if sample := data["sample"].get(split):
        return sample
    parts = data.get(split, [])
    sizes = [part.get("published") for part in (parts if isinstance(parts, list) else [parts])]
    counts = [max(size.values()) if isinstance(size, dict) else size for size in sizes if size]
    return sum(counts) or ROWS


def reckon(sweep: Sweep, done: Set[tuple[Order, int]] = frozenset()) -> Cost:
    """The cost of what is left of a sweep, every stage counted with the experiment that comes to it first."""
    speed = Speed(sweep.root)
    seen = {stage.key for order, seed in done for stage in stages(sweep, order, seed)}
    there = made(sweep.params.values(), sweep.root)
    seen |= {
        stage.key for order in sweep.orders for stage in shared_stages(sweep.params[order]) if stage.of_dvc in there
    }
    measured = reckoned = 0

    def seconds(wanted: Iterable[Stage], order: Order) -> float:
        nonlocal measured, reckoned
        found = EXPERIMENT
        for stage in wanted:
            if stage.key not in seen:
                seen.add(stage.key)
                took, known = speed.seconds(stage, sweep.params[order])
                measured, reckoned = measured + known, reckoned + (not known)
                found += took + STAGE
        return found

    shared = sum(seconds(new, order) for order, new in sharing(sweep, done))
    of = {
        (order, seed): 0.0 if (order, seed) in done else seconds(stages(sweep, order, seed), order)
        for seed, group in sweep.groups
        for order in group
    }
    params = sweep.params[sweep.orders[0]]
    size = encoder_bytes(sweep.root, params["encoder"]) or 4 * speed.weights
    size //= 2 if params["checkpoints"] == "bfloat16" else 1
    return Cost(of, shared, measured, reckoned, size)


def encoder_bytes(root: Path, encoder: dict[str, Any]) -> int:
    """Of the encoder that lies in the working tree, where it is the one that is asked for; else 0."""
    weights, params = root / "models/encoder/model.safetensors", root / "params.yaml"
    if not (weights.is_file() and params.is_file()):
        return 0
    return weights.stat().st_size if read_yaml(params.read_text(encoding="utf-8"))["encoder"] == encoder else 0


def in_turn(groups: list[Group], cost: Cost) -> list[Group]:
    """The groups seed by seed, so that a sweep under way has whole seeds and not some of the orders in each of them.

    Of a seed those which take longest start first, so that none is left over at the end.
    """
    seeds = list(dict.fromkeys(seed for seed, _ in groups))
    return sorted(groups, key=lambda group: (seeds.index(group[0]), -cost.of_group(group)))


def on_the_clock(sweep: Sweep, cost: Cost, jobs: int) -> float:
    """Seconds that the sweep takes with so many jobs: what is shared, as by one job, then groups as jobs get free."""
    free = [cost.shared] * jobs
    for group in in_turn(sweep.groups, cost):
        heapq.heappush(free, heapq.heappop(free) + cost.of_group(group))
    return max(free)


def spoken(seconds: float) -> str:
    """`41 min`, `3 h 20 min`."""
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
