"""How often the statistics of orders are right: nominal against observed, on simulated sweeps.

    PYTHONPATH=src python benchmarks/order_statistics.py [--sweeps 2000] [--shared 1.0]

Prints a Markdown table, a row for each design. A sweep has one target, run-to-run noise of one point, and an effect of
each seed. `shared` is the standard deviation of the noise of a step, which orders that begin alike share, in points.
"""

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from simulate import simulate
from stiltwalk.analysis.best_order import choose_best_order
from stiltwalk.analysis.cells import Cells, read_cells
from stiltwalk.analysis.comparisons import compare_orders
from stiltwalk.analysis.contrasts import position_effects
from stiltwalk.analysis.options import ALPHA
from stiltwalk.analysis.order_test import joint_test, order_p_value, order_sd_interval
from stiltwalk.sweep.designs import make_orders

DESIGNS = (
    ("all", 3, 3),
    ("all", 3, 5),
    ("all", 4, 3),
    ("williams", 4, 3),
    ("williams", 4, 5),
    ("random:6", 5, 3),
    ("efficient:24", 4, 3),
    ("efficient:40", 4, 3),
)
NOMINAL = {
    "test of order": "5",
    "of three targets": "5",
    "sd of order effects": "95",
    "effects at once": "95",
    "pairs at once": "95",
    "gain": "95",
}
TOGETHER, ROTATIONS = 3, 199  # targets of the joint test, and its rotations here


@dataclass(frozen=True)
class Setting:
    """A design, and the noise of its runs."""

    tasks: list[str]
    orders: list[str]
    seeds: int
    shared: float
    rng: np.random.Generator

    def draw(self, sweeps: int, **effects: Any) -> Cells:
        """Simulate sweeps, each as a target of its own; the baseline is a control."""
        targets = [f"t{number:05}" for number in range(sweeps)]
        noise = {"seed_sd": 1.0, "step_sd": self.shared, "noise_sd": 1.0}
        scores, validation = simulate(
            self.tasks,
            [*self.orders, ""],
            range(1, self.seeds + 1),
            targets,
            ["en"],
            rng=self.rng,
            **{**noise, **effects},
        )
        return read_cells(scores, validation, self.tasks, {})


def main(sweeps: int, shared: float) -> None:
    names = list(NOMINAL)
    print(f"| design, tasks, seeds | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
    print(f"| nominal | {' | '.join(NOMINAL.values())} |")
    for design, n, seeds in DESIGNS:
        tasks = list("abcde")[:n]
        orders = [",".join(order) for order in make_orders(design, tasks)]
        setting = Setting(tasks, orders, seeds, shared, np.random.default_rng(0))
        rates = {name: format_rate(hits) for name, hits in measure(setting, sweeps)}
        print(f"| `{design}`, {n}, {seeds} | {' | '.join(rates[name] for name in names)} |", flush=True)


def measure(setting: Setting, sweeps: int) -> Iterator[tuple[str, Sequence[bool]]]:
    """Yield, for each statistic, whether it rejects or covers in each simulated sweep."""
    cells = setting.draw(sweeps)
    values = [cells.order_scores(target) for target in cells.targets]
    yield "test of order", [order_p_value(one) <= ALPHA for one in values]
    groups = [values[start : start + TOGETHER] for start in range(0, sweeps - TOGETHER + 1, TOGETHER)]
    tests = [joint_test(pd.concat(group, axis=1), ROTATIONS, setting.rng) for group in tqdm(groups, leave=False)]
    yield "of three targets", [test.p <= ALPHA for test in tests if test]
    pairs = [compare_orders(one)["pairs"] for one in values]
    yield "pairs at once", [all(map(holds, of_sweep)) for of_sweep in pairs]
    fits = [position_effects(cells, target) for target in cells.targets[: sweeps // 2]]
    effects = [[*(one for places in fit["tasks"].values() for one in places.values())] for fit in fits]
    effects = [[*of_sweep, *fit["carry_over"].values()] for of_sweep, fit in zip(effects, fits, strict=True)]
    known = [[one for one in of_sweep if not math.isnan(one["low"])] for of_sweep in effects]
    yield "effects at once", [all(map(holds, of_sweep)) for of_sweep in known if of_sweep]
    gains = [
        choose_best_order(cells, target, 1.0, 9, setting.rng)["gain_over_baseline"]
        for target in cells.targets[: sweeps // 2]
    ]
    yield "gain", [gain["low"] <= 0 <= gain["high"] for gain in gains]
    with_effects = setting.draw(sweeps, order_sd=1.0)
    intervals = [order_sd_interval(with_effects.order_scores(target)) for target in with_effects.targets]
    yield "sd of order effects", [interval["low"] <= 1.0 <= interval["high"] for interval in intervals]


def holds(estimate: Mapping[str, float]) -> bool:
    """Whether an interval contains zero, which is the truth."""
    return estimate["low"] <= 0 <= estimate["high"]


def format_rate(hits: Sequence[bool]) -> str:
    """Format a share in per cent with its Monte-Carlo standard error."""
    if not hits:
        return "–"
    rate = float(np.mean(hits))
    return f"{100 * rate:.1f} ± {100 * math.sqrt(rate * (1 - rate) / len(hits)):.1f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=2000, help="how many to simulate (default: %(default)s)")
    parser.add_argument("--shared", type=float, default=1.0, help="noise that orders share (default: %(default)s)")
    options = parser.parse_args()
    main(options.sweeps, options.shared)
