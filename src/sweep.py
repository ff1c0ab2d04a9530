"""Run many orders with several seeds, to separate the effect of an order from that of a seed.

    python src/sweep.py plan --tasks mnli,squad,hellaswag --design all --seeds 3
    python src/sweep.py run --tasks mnli,squad,hellaswag --design all --seeds 3 --jobs 2

`plan` prints the orders, the steps that they share, what they can answer, and the cost of the sweep. `run` runs it as
DVC experiments, named after order and seed. If it is stopped, the same command resumes it and repeats no finished
experiment. Afterwards, `python src/compare.py` analyses the results.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from stiltwalk.analysis.forecast import describe_design, estimate_noise
from stiltwalk.sweep.cost import Cost, estimate_cost, format_duration, wall_seconds
from stiltwalk.sweep.designs import CONTROLS, DESIGNS
from stiltwalk.sweep.experiments import read_experiments
from stiltwalk.sweep.plan import Sweep
from stiltwalk.sweep.runner import Outcome, Runner, finished_experiments, refuse_uncommitted_changes, sweep_folder
from stiltwalk.sweep.trie import draw_tree
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.stage import run

DEFAULT_CONTROLS = ("baseline", "single", "joint", "null")
LISTED = 30  # orders that `plan` names
EXPLANATIONS = {
    (): " (the pretrained encoder)",
    ("null",): " (MNLI with shuffled labels: the same amount of training, nothing to learn)",
}


def main(arguments: argparse.Namespace) -> None:
    sweep = Sweep.make(
        arguments.tasks.split(","),
        arguments.design,
        parse_seeds(arguments.seeds),
        [name for name in arguments.controls.split(",") if name],
        arguments.set,
        f"{arguments.name}." if arguments.name else "",
    )
    if arguments.jobs < 1:
        raise InputError(f"--jobs is {arguments.jobs}; it must be 1 or more")
    if arguments.action == "run":
        refuse_uncommitted_changes(sweep.root)
    done = finished_experiments(sweep)
    print_orders(sweep)
    cost = estimate_cost(sweep, done)
    print_cost(sweep, cost, arguments.jobs, len(done))
    if arguments.action == "run":
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with sweep_folder(sweep.root) as folder:
            try:
                outcome = Runner(sweep, cost, arguments.jobs, folder).run()
            except KeyboardInterrupt:
                sys.exit("stopped; the same command resumes the sweep")
        report_outcome(outcome)
        print("now: python src/compare.py" + (f" --name {arguments.name}" if arguments.name else ""))


def parse_seeds(text: str) -> list[int]:
    """Parse `3` as the seeds 1, 2, 3, `4,5` as those two, and `4,` as the seed 4 alone."""
    try:
        numbers = [int(word) for word in text.removesuffix(",").split(",")]
    except ValueError:
        raise InputError(f"--seeds is {text!r}; write how many (3), or which (4,5,6; 4, for seed 4 alone)") from None
    if "," not in text and numbers[0] < 1:
        raise InputError(f"--seeds is {text!r}; it must be 1 or more")
    return numbers if "," in text else list(range(1, numbers[0] + 1))


def print_orders(sweep: Sweep) -> None:
    """Print the orders, the tree of their steps, and what the design can answer."""
    proper = [order for order in sweep.orders if order not in sweep.controls]
    for title, orders in (("orders", proper), ("controls", sweep.controls)):
        print(f"{title}: {len(orders)}")
        for order in orders[:LISTED]:
            print(f"  {' -> '.join(order) or 'none'}{EXPLANATIONS.get(order, '')}")
        if len(orders) > LISTED:
            print(f"  ... {len(orders) - LISTED} more")
    print(f"\n{draw_tree(sweep.orders)}\n")
    noise = estimate_noise([*sweep.params.values()], read_experiments(sweep.root))
    for line in describe_design([order for order in proper if len(order) > 1], len(sweep.seeds), noise):
        print(line)
    print()


def print_cost(sweep: Sweep, cost: Cost, jobs: int, done: int) -> None:
    """Print what the sweep, or what is left of it, will take."""
    experiments = len(sweep.orders) * len(sweep.seeds)
    finished = f"; {done} {'has' if done == 1 else 'have'} finished" if done else ""
    print(
        f"{experiments} experiments with seeds {', '.join(map(str, sweep.seeds))}: {sweep.trainings} trainings for "
        f"{sweep.steps} steps, because orders share common prefixes{finished}"
    )
    basis = (
        f"{cost.measured} stages measured on this machine, {cost.estimated} estimated from their number of tokens"
        if cost.estimated
        else "all stages measured on this machine"
    )
    left = " left" if done else ""
    print(f"processor time: about {format_duration(cost.total)}{left} ({basis})")
    print(f"wall time: about {format_duration(wall_seconds(sweep, cost, jobs))}{left} with --jobs {jobs}")
    if cost.checkpoint_bytes:
        total, each = (size / 2**20 for size in (sweep.trainings * cost.checkpoint_bytes, cost.checkpoint_bytes))
        print(f"disk: {total:,.0f} MiB for {sweep.trainings} checkpoints of {each:,.1f} MiB")


def report_outcome(outcome: Outcome) -> None:
    """Print what the sweep did. Raises InputError if experiments failed or a step was trained twice."""
    print(
        f"{outcome.finished_now} experiments finished ({outcome.finished_before} had finished before); "
        f"steps: {outcome.describe_steps()}"
    )
    if repeated := [f"{'-'.join(steps)} with seed {seed}" for (steps, seed), n in outcome.trained.items() if n > 1]:
        raise InputError(f"these steps were trained more than once, which the run cache should prevent: {repeated}")
    if outcome.failed:
        raise InputError(f"{len(outcome.failed)} experiments failed, the first: {outcome.failed[0]}")


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("plan", "run"))
    parser.add_argument("--tasks", required=True, help="intermediate tasks, separated by commas: mnli,squad,hellaswag")
    parser.add_argument("--design", default="all", help=f"which orders of them: {', '.join(DESIGNS)} (default: all)")
    parser.add_argument("--seeds", default="3", help="how many (3), or which (4,5,6; 4, for seed 4 alone)")
    names = ",".join(DEFAULT_CONTROLS)
    parser.add_argument(
        "--controls", default=names, help=f"which controls, out of {', '.join(CONTROLS)} (default: {names})"
    )
    parser.add_argument("--jobs", type=int, default=1, help="experiments to run at the same time")
    parser.add_argument("-S", "--set", action="append", default=[], metavar="KEY=VALUE", help="as in dvc exp run")
    parser.add_argument("--name", default="", help="of the sweep; it begins the names of its experiments")
    return parser.parse_args()


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    run(main, parse())
