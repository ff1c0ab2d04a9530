"""Simulate how fast sweeps run on 1 to 256 machines.

    PYTHONPATH=src python benchmarks/scaling.py [--scale base] [--figure docs/scaling/speedup.png]

Nothing is trained: the tasks, their priorities and their costs are those of `src/sweep.py plan`, but the training speed
is that of a GPU (`SPEEDS`), and no duration that this machine has recorded is used. A machine has one GPU and takes one
task at a time. Prints a Markdown table, what limits each design, and what the costs rest on; draws a figure.
"""

import argparse
import contextlib
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from stiltwalk.report.figure import add_panel, figure_style, new_drawing
from stiltwalk.report.palette import LIGHT, LINE, MUTED
from stiltwalk.sweep.cost import (
    EXPERIMENT_OVERHEAD_SECONDS,
    LIGHT_STAGE_SECONDS,
    STAGE_OVERHEAD_SECONDS,
    START_SECONDS,
    UNKNOWN_ROWS,
    Estimator,
    Speed,
)
from stiltwalk.sweep.graph import Task, build_tasks
from stiltwalk.sweep.plan import Sweep
from stiltwalk.sweep.schedule import by_priority, longest_ways, wall_seconds
from stiltwalk.utils.stage import run

ROOT = Path(__file__).resolve().parents[1]
TASKS = ("mnli", "squad", "hellaswag", "qqp", "squad2", "anli_plus", "ccg", "cosmosqa", "commonsenseqa")
DESIGNS = (("all", 4), ("williams", 6), ("efficient:100", 9))  # each of the first tasks
SEEDS = (1, 2, 3, 4, 5)
CONTROLS = ("baseline", "single", "joint", "null")  # the default of src/sweep.py
MACHINES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
COLUMNS = (1, 4, 16, 64, 256)  # of the table
LOOKS = ((LIGHT["s6"], "o"), (LIGHT["d0"], "s"), (LIGHT["s4"], "^"))  # colour and marker of each design


@dataclass(frozen=True)
class Rate:
    """Tokens a second in training, padding left out, and where the number comes from."""

    tokens_per_second: float
    source: str


# docs/performance.md, "On a GPU", line 212: `| bf16 | 18,800 tokens/s | 91,900 tokens/s |` (12 x 768; also in LOG.md,
# line 222: "12 x 768 bf16 18,762 to 91,929").
BASE_SPEED = 91_900
# Nothing states a speed of 24 x 1024. The layers' matrix products grow with layers x width².
LARGE_WORK = (24 * 1024**2) / (12 * 768**2)
SPEEDS = {
    "base": Rate(
        BASE_SPEED,
        "measured on one H100: 12 x 768 in bf16 with CUDA graphs, rows with MNLI's lengths, single runs of 256 steps",
    ),
    "large": Rate(
        BASE_SPEED / LARGE_WORK,
        f"ASSUMED, not measured: that of base divided by {LARGE_WORK:.2f}, the ratio of the layers' matrix products",
    ),
}
ASSUMED = (
    "tokens are estimated as in `src/sweep.py plan`: a fixed share of the longest input (for `large` too many, as it "
    "allows pairs and tagging twice the length), a predicted token as a third of a trained one; every task trains at "
    "the same tokens a second",
    f"CCG states no size and counts as {UNKNOWN_ROWS:,} rows of each split",
    f"{LIGHT_STAGE_SECONDS} s for a stage that does not train, {START_SECONDS} s to start a training, "
    f"{STAGE_OVERHEAD_SECONDS} s of DVC a stage, {EXPERIMENT_OVERHEAD_SECONDS} s an experiment: constants of "
    "stiltwalk/sweep/cost.py for CPUs",
)
UNKNOWN = (
    "download of data and encoder; tokenising all rows; DVC push and pull between machines; writing and hashing "
    "checkpoints; the wait in a queue; failures and repeats; recording CUDA graphs and loading kernels in a new process"
)


class GivenSpeed(Speed):
    """A speed that is known from elsewhere: it calibrates nothing and reads no duration of this machine."""

    def __init__(self, tokens_per_second: float):
        self.given = tokens_per_second
        self.weights = 0
        self.durations = defaultdict(list)

    def tokens_per_second(self, params: dict[str, Any]) -> float:
        """Return the given speed, whatever the encoder."""
        return self.given


@dataclass(frozen=True)
class Scaling:
    """What a sweep takes on several numbers of machines; all times in seconds."""

    name: str
    tasks: Mapping[str, float]
    """By task its seconds."""
    steps: float
    """Of the tasks that train steps which several orders share."""
    chain: Sequence[str]
    """The names of the tasks of the longest chain."""
    walls: Mapping[int, float]
    """By number of machines."""

    @property
    def total(self) -> float:
        return sum(self.tasks.values())

    @property
    def longest(self) -> float:
        return sum(self.tasks[name] for name in self.chain)

    @property
    def limit(self) -> float:
        """The speed-up on any number of machines is at most this."""
        return self.total / self.longest

    def speed_up(self, machines: int) -> float:
        """Return how many times as fast so many machines are as one that does nothing but the tasks."""
        return self.total / self.walls[machines]


def main(arguments: argparse.Namespace) -> None:
    rate = SPEEDS[arguments.scale]
    scalings = []
    with stand_in_files():
        for design, number in tqdm(DESIGNS, "designs", unit="design"):
            sweep = Sweep.make(TASKS[:number], design, SEEDS, CONTROLS, [f"scale={arguments.scale}"], root=ROOT)
            scalings.append(scale_sweep(f"{design} of {number} tasks", sweep, rate.tokens_per_second))
    print(format_table(scalings))
    print()
    for scaling in scalings:
        print(f"- {describe_limits(scaling)}")
    print(f"\nScale `{arguments.scale}`: {rate.tokens_per_second:,.0f} tokens/s, {rate.source}.")
    print("Assumed: " + "; ".join(ASSUMED) + ".")
    print(f"Unknown and left out: {UNKNOWN}.")
    draw_figure(scalings, arguments.scale, arguments.figure)


@contextlib.contextmanager
def stand_in_files() -> Iterator[None]:
    """Context manager for a working folder with empty files of CCG, which each user has to add (docs/own-data.md)."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        own = Path("data/own/ccg")
        own.mkdir(parents=True)
        for split in ("train", "validation"):
            (own / f"{split}.tsv").touch()
        yield


def scale_sweep(name: str, sweep: Sweep, tokens_per_second: float, machines: Sequence[int] = MACHINES) -> Scaling:
    """Return what a sweep takes on each number of machines."""
    tasks = build_tasks(sweep, frozenset())
    estimator = Estimator(GivenSpeed(tokens_per_second))
    seconds = {
        task.name: sum(estimator.add(part.stages, sweep.params[part.order]) for part in task.parts) for task in tasks
    }
    ordered = by_priority(tasks, seconds)
    return Scaling(
        name,
        seconds,
        sum(seconds[task.name] for task in tasks if task.after and not task.experiment),
        find_chain(tasks, seconds),
        {number: wall_seconds(ordered, seconds, number) for number in machines},
    )


def find_chain(tasks: Sequence[Task], seconds: Mapping[str, float]) -> list[str]:
    """Return the names of the longest chain of tasks, each of which waits for the one before it."""
    left = longest_ways(tasks, seconds)
    chain: list[str] = []
    following = [task.name for task in tasks if not task.after]
    while following:
        chain.append(max(following, key=left.__getitem__))
        following = [task.name for task in tasks if chain[-1] in task.after]
    return chain


def format_table(scalings: Sequence[Scaling]) -> str:
    """Return the speed-ups, with the hours that a sweep takes in brackets, as a Markdown table."""
    titles = ["design", "jobs", "work, h", "longest chain, h"]
    titles += [f"on {number}" if number > 1 else "on 1 machine" for number in COLUMNS]
    rows = [titles, ["---", *["---:"] * (len(titles) - 1)]]
    for scaling in scalings:
        row = [scaling.name, f"{len(scaling.tasks):,}", format_hours(scaling.total), format_hours(scaling.longest)]
        row += [f"{scaling.speed_up(number):.1f} ({format_hours(scaling.walls[number])} h)" for number in COLUMNS]
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def format_hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.{2 if hours < 10 else 1 if hours < 100 else 0}f}"


def describe_limits(scaling: Scaling) -> str:
    """Describe in a line the longest chain and the share of the work that orders share."""
    chain = " → ".join(f"{name} ({format_hours(scaling.tasks[name])} h)" for name in scaling.chain)
    return (
        f"{scaling.name}: never more than {scaling.limit:.1f} times as fast, because of {chain}; "
        f"{scaling.steps / scaling.total:.0%} of the work is in steps that orders share"
    )


def draw_figure(scalings: Sequence[Scaling], scale: str, path: Path) -> None:
    """Draw the speed-up over the number of machines as a PNG, a line for each design, labelled at its end."""
    with figure_style():
        drawing = new_drawing(6.2, 3.4)
        panel = add_panel(drawing, 0.5, 0.3, 3.6, 2.65)
        panel.loglog(MACHINES, MACHINES, color=LINE, linewidth=1.2)
        beside: Any = {"xytext": (6, 0), "textcoords": "offset points", "va": "center"}
        panel.annotate("ideal", (MACHINES[-1], MACHINES[-1]), color=MUTED, **beside)
        speed_ups = [[scaling.speed_up(number) for number in MACHINES] for scaling in scalings]
        heights = spread([line[-1] for line in speed_ups])
        for scaling, line, height, (colour, marker) in zip(scalings, speed_ups, heights, LOOKS, strict=True):
            panel.loglog(MACHINES, line, color=colour, linewidth=1.4, marker=marker, markersize=3.5)
            label = f"{scaling.name}: at most {scaling.limit:.0f}"
            panel.annotate(label, (MACHINES[-1], height), color=colour, **beside)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_ticks(COLUMNS, [str(number) for number in COLUMNS])
            axis.set_ticks([], minor=True)
        panel.set(xlabel="machines with one GPU each", ylabel="speed-up")
        panel.set_title(f"scale {scale}, {len(SEEDS)} seeds, simulated", loc="left")
        path.parent.mkdir(parents=True, exist_ok=True)
        box = drawing.get_tightbbox().padded(0.1)
        drawing.savefig(path, metadata={"Software": None}, facecolor="white", bbox_inches=box, dpi=200)


def spread(heights: Sequence[float], ratio: float = 1.3) -> list[float]:
    """Return heights on a logarithmic axis, moved so that labels at them are at least this ratio apart."""
    order = np.argsort(heights)
    gap, moved = np.log(ratio), np.log(np.array(heights)[order])
    for _ in range(100):
        for i in range(len(moved) - 1):
            if (lack := gap - (moved[i + 1] - moved[i])) > 0:
                moved[i] -= lack / 2
                moved[i + 1] += lack / 2
    result = np.empty_like(moved)
    result[order] = np.exp(moved)
    return result.tolist()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SPEEDS, default="base")
    parser.add_argument("--figure", type=Path, default=Path("docs/scaling/speedup.png"), help="default: %(default)s")
    run(main, parser.parse_args())
