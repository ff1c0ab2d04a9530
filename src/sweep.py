"""Many orders, so that what an order does can be told from what a seed does.

    python src/sweep.py plan --tasks mnli,squad,hellaswag --design all --seeds 3
    python src/sweep.py run --tasks mnli,squad,hellaswag --design all --seeds 3 --jobs 2

`plan` prints the orders, the steps that they share, and what the sweep will cost; `run` runs it as DVC experiments,
named after order and seed. Stopped at any point, the same command goes on and repeats nothing that had finished. Then
`python src/compare.py` says what came of it.
"""

import argparse
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from stiltwalk.analysis.anova import too_few
from stiltwalk.analysis.contrasts import determined
from stiltwalk.sweep.cost import Cost, on_the_clock, reckon, spoken
from stiltwalk.sweep.designs import CONTROLS, DESIGNS
from stiltwalk.sweep.plan import Sweep
from stiltwalk.sweep.runner import Runner, alone, done_before, refuse_uncommitted
from stiltwalk.sweep.trie import Order, draw
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.stage import run

WANTED = ("baseline", "single", "joint", "null")
TOLD = {
    (): " (the encoder as it was pretrained)",
    ("null",): " (MNLI with its labels shuffled: as much training, nothing to learn)",
}


def main(arguments: argparse.Namespace) -> None:
    sweep = Sweep.make(
        arguments.tasks.split(","),
        arguments.design,
        seeds(arguments.seeds),
        [name for name in arguments.controls.split(",") if name],
        arguments.set,
        f"{arguments.name}." if arguments.name else "",
    )
    if arguments.jobs < 1:
        raise InputError(f"--jobs is {arguments.jobs}; it must be 1 or more")
    if arguments.what == "run":
        refuse_uncommitted(sweep.root)
    done = done_before(sweep)
    show_orders(sweep)
    cost = reckon(sweep, done)
    show_cost(sweep, cost, arguments.jobs, len(done))
    if arguments.what == "run":
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with alone(sweep.root) as place:
            try:
                outcome = Runner(sweep, cost, arguments.jobs, place).run()
            except KeyboardInterrupt:
                sys.exit("stopped; the same command goes on from here")
        print(f"{outcome.finished} experiments finished ({outcome.done} had been before); steps: {outcome.steps}")
        twice = [f"{'-'.join(steps)} with seed {seed}" for (steps, seed), n in outcome.trained.items() if n > 1]
        if twice:
            raise InputError(f"these steps were trained more than once, which the run cache should prevent: {twice}")
        if outcome.failed:
            raise InputError(f"{len(outcome.failed)} experiments failed, the first: {outcome.failed[0]}")
        print("now: python src/compare.py" + (f" --name {arguments.name}" if arguments.name else ""))


def seeds(told: str) -> list[int]:
    """`3` is the seeds 1, 2, 3; `4,5` is those."""
    try:
        numbers = [int(word) for word in told.split(",")]
    except ValueError:
        raise InputError(f"--seeds is {told!r}; write how many (3), or which (4,5,6)") from None
    if "," not in told and numbers[0] < 1:
        raise InputError(f"--seeds is {told!r}; it must be 1 or more")
    return numbers if "," in told else list(range(1, numbers[0] + 1))


def show_orders(sweep: Sweep) -> None:
    """The orders, the trie of their steps, and what can be told from them."""
    proper = [order for order in sweep.orders if order not in sweep.controls]
    for title, orders in (("orders", proper), ("controls, which an order is held against", sweep.controls)):
        print(f"{title}: {len(orders)}")
        for order in orders[:30]:
            print(f"  {' -> '.join(order) or 'none'}{TOLD.get(order, '')}")
        if len(orders) > 30:
            print(f"  ... {len(orders) - 30} more")
    print(f"\n{draw(sweep.orders)}\n")
    for told in told_apart([order for order in proper if len(order) > 1], len(sweep.seeds)):
        print(told)


def show_cost(sweep: Sweep, cost: Cost, jobs: int, done: int) -> None:
    """What it all takes."""
    experiments = len(sweep.orders) * len(sweep.seeds)
    print(
        f"{experiments} experiments with seeds {', '.join(map(str, sweep.seeds))}: {sweep.trainings} trainings for "
        f"{sweep.steps} steps, since orders that begin alike share them"
        + (f"; {done} {'is' if done == 1 else 'are'} done" if done else "")
    )
    known = (
        "all stages measured here before"
        if not cost.reckoned
        else f"of the stages {cost.measured} as measured here before, {cost.reckoned} reckoned from their tokens"
    )
    left = " left" if done else ""
    print(f"processor time about {spoken(cost.total())}{left}: {known}")
    print(f"on the clock about {spoken(on_the_clock(sweep, cost, jobs))}{left} with --jobs {jobs}")
    if cost.checkpoint:
        size = sweep.trainings * cost.checkpoint
        print(f"disk {size / 2**20:,.0f} MiB for {sweep.trainings} checkpoints of {cost.checkpoint / 2**20:,.1f} MiB")


def told_apart(orders: list[Order], seeds: int) -> Iterator[str]:
    """What the orders of the design will tell, where they are permutations of one set: positions, neighbours, and p."""
    sets = Counter(frozenset(order) for order in orders)
    if len(sets) > 1:
        largest = max(sets.values())
        yield (
            f"these are orders of {len(sets)} sets of tasks, {largest} of one set at most: src/compare.py compares the "
            "orders of one set (--tasks), all others stand beside them"
        )
    elif orders:
        found = determined([",".join(order) for order in orders], sorted(orders[0]))
        tasks = len(orders[0])
        apart = "" if found["joint"] or not found["pairs"] else ", not told apart from positions"
        yield (
            f"these orders determine the effects of being first and last for {found['positions']} of {tasks} tasks, "
            f"and of {found['pairs']} of {tasks * (tasks - 1)} ordered neighbours{apart}"
        )
        if few := too_few(orders, seeds):
            yield few


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("plan", "run"))
    parser.add_argument("--tasks", required=True, help="intermediate tasks, with commas: mnli,squad,hellaswag")
    parser.add_argument("--design", default="all", help=f"which orders of them: {', '.join(DESIGNS)} (default: all)")
    parser.add_argument("--seeds", default="3", help="how many (3), or which (4,5,6)")
    parser.add_argument(
        "--controls", default=",".join(WANTED), help=f"of {', '.join(CONTROLS)} (default: {','.join(WANTED)})"
    )
    parser.add_argument("--jobs", type=int, default=1, help="experiments at the same time")
    parser.add_argument("-S", "--set", action="append", default=[], metavar="KEY=VALUE", help="as of dvc exp run")
    parser.add_argument("--name", default="", help="of the sweep, before its experiments' names")
    return parser.parse_args()


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    run(main, parse())
