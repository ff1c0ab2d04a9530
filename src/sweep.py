"""Run many orders with several seeds, to separate the effect of an order from that of a seed.

    python src/sweep.py plan --tasks mnli,squad,hellaswag --design all --seeds 3
    python src/sweep.py run --tasks mnli,squad,hellaswag --design all --seeds 3 --jobs 2
    python src/sweep.py status
    python src/sweep.py stop

`plan` prints the orders, the steps that they share, what they can answer, and the cost of the sweep. `run` runs it as
DVC experiments, named after order and seed, on this machine, by Slurm or by dask. If it is stopped, the same command
resumes it and repeats no finished experiment. Afterwards, `python src/compare.py` analyses the results.
"""

import argparse
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from stiltwalk.analysis.forecast import describe_design, estimate_noise
from stiltwalk.sweep.cost import Cost, estimate_cost, format_duration
from stiltwalk.sweep.designs import CONTROLS, DESIGNS
from stiltwalk.sweep.experiments import read_experiments
from stiltwalk.sweep.graph import Task, build_tasks
from stiltwalk.sweep.launch import (
    Settings,
    check_engine,
    finished_experiments,
    refuse_uncommitted_changes,
    run_sweep,
    stop_sweep,
)
from stiltwalk.sweep.plan import Sweep
from stiltwalk.sweep.progress import Place
from stiltwalk.sweep.schedule import by_priority, longest_ways, wall_seconds
from stiltwalk.sweep.status import print_status
from stiltwalk.sweep.trie import draw_tree
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.stage import run

DEFAULT_CONTROLS = ("baseline", "single", "joint", "null")
ENGINES = ("local", "slurm", "dask")
LISTED = 30  # orders that `plan` names
EXPLANATIONS = {
    (): " (the pretrained encoder)",
    ("null",): " (MNLI with shuffled labels: the same amount of training, nothing to learn)",
}


def main(arguments: argparse.Namespace) -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end quietly if `| head` stops reading
    if arguments.action in ("status", "stop"):
        place = Place.latest(Path(), arguments.name)
        print_status(place) if arguments.action == "status" else stop_sweep(place)
        return
    if not arguments.tasks:
        raise InputError(f"{arguments.action} needs --tasks, such as --tasks mnli,squad,hellaswag")
    settings = read_settings(arguments)
    sweep = Sweep.make(
        [task.strip() for task in arguments.tasks.split(",")],
        arguments.design,
        parse_seeds(arguments.seeds),
        [name for name in arguments.controls.split(",") if name not in ("", "none")],
        arguments.set,
        f"{arguments.name}." if arguments.name else "",
    )
    if arguments.action == "run":
        refuse_uncommitted_changes(sweep.root)
        check_engine(sweep, settings)
    done = finished_experiments(sweep)
    print_orders(sweep)
    tasks = build_tasks(sweep, done)
    cost = estimate_cost(sweep, tasks, done)
    print_cost(sweep, tasks, cost, arguments.machines or settings.jobs, len(done))
    if arguments.action == "run":
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        run_sweep(sweep, tasks, cost, settings)
        if settings.engine != "slurm":
            print("now: python src/compare.py" + (f" --name {arguments.name}" if arguments.name else ""))


def read_settings(arguments: argparse.Namespace) -> Settings:
    """Return where the sweep runs. Raises InputError for options that do not fit the engine."""
    settings = Settings(**{name: getattr(arguments, name) for name in vars(Settings())})
    if not re.fullmatch(r"[\w-]*", arguments.name):
        raise InputError(f"--name is {arguments.name!r}; use letters, digits, - and _")
    for name in ("machines", "max_queued"):
        if getattr(arguments, name) < 0:
            raise InputError(f"--{name.replace('_', '-')} is {getattr(arguments, name)}; it must be 0 or more")
    for name in ("jobs", "gpus_per_task"):
        if (number := getattr(settings, name)) < 1:
            raise InputError(f"--{name.replace('_', '-')} is {number}; it must be 1 or more")
    if (settings.engine == "dask") != bool(settings.scheduler):
        raise InputError(
            "--engine dask and --scheduler need each other, as in --engine dask --scheduler tcp://HOST:8786"
        )
    for name in ("options", "shared_options", "max_queued"):
        if getattr(settings, name) and settings.engine != "slurm":
            raise InputError(f"--{name.replace('_', '-')} is for --engine slurm only")
    return settings


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


def print_cost(sweep: Sweep, tasks: Sequence[Task], cost: Cost, machines: int, done: int) -> None:
    """Print what the sweep, or what is left of it, will take."""
    experiments = len(sweep.orders) * len(sweep.seeds)
    seeds = f"seed{'s' if len(sweep.seeds) > 1 else ''} {', '.join(map(str, sweep.seeds))}"
    finished = f"; {done} {'has' if done == 1 else 'have'} finished" if done else ""
    print(
        f"{experiments} experiments with {seeds}: {sweep.trainings} trainings "
        f"for {sweep.steps} steps, because orders share common prefixes{finished}"
    )
    basis = (
        f"{cost.measured} stages measured before, {cost.estimated} estimated from their number of tokens"
        if cost.estimated
        else "all stages measured before"
    )
    left = " left" if done else ""
    print(f"processor time: about {format_duration(cost.total)}{left} ({basis})")
    if tasks:
        wall = wall_seconds(by_priority(tasks, cost.tasks), cost.tasks, machines)
        longest = max(longest_ways(tasks, cost.tasks).values())
        print(
            f"wall time: about {format_duration(wall)}{left} with {machines} at a time; never less than "
            f"{format_duration(longest)}, the longest chain of its {len(tasks)} tasks"
        )
    if cost.checkpoint_bytes:
        total, each = (size / 2**20 for size in (sweep.trainings * cost.checkpoint_bytes, cost.checkpoint_bytes))
        print(f"disk: {total:,.0f} MiB for {sweep.trainings} checkpoints of {each:,.1f} MiB")


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("plan", "run", "status", "stop"))
    parser.add_argument("--tasks", default="", help="intermediate tasks, separated by commas: mnli,squad,hellaswag")
    parser.add_argument("--design", default="all", help=f"which orders of them: {', '.join(DESIGNS)} (default: all)")
    parser.add_argument("--seeds", default="3", help="how many, or which (4,5,6; 4, for seed 4 alone; default: 3)")
    names = ",".join(DEFAULT_CONTROLS)
    parser.add_argument("--controls", default=names, help=f"none, or which of {', '.join(CONTROLS)} (default: {names})")
    parser.add_argument("-S", "--set", action="append", default=[], metavar="KEY=VALUE", help="as in dvc exp run")
    parser.add_argument("--name", default="", help="of the sweep; it begins the names of its experiments")
    parser.add_argument("--machines", type=int, default=0, help="plan: how many tasks run at a time (default: --jobs)")
    where = parser.add_argument_group("where the tasks run")
    where.add_argument("--engine", choices=ENGINES, default="local", help="default: this machine")
    where.add_argument("--jobs", type=int, default=1, help="at the same time on this machine (default: 1)")
    where.add_argument("--gpus-per-task", type=int, default=1, help="GPUs on which a training runs (default: 1)")
    where.add_argument("--share-gpus", action="store_true", help="more tasks than GPUs on this machine")
    where.add_argument("--options", default="", help="of sbatch: '--partition=gpu --gres=gpu:1 --time=24:00:00'")
    where.add_argument("--shared-options", default="", help="of sbatch, for the task that needs a network and no GPU")
    where.add_argument("--max-queued", type=int, default=0, metavar="N", help="jobs that Slurm may hold at a time")
    where.add_argument("--scheduler", default="", metavar="ADDRESS", help="of dask, such as tcp://HOST:8786")
    where.add_argument("--remote", default="", help="the DVC remote of machines that share no file system")
    return parser.parse_args(join_options(sys.argv[1:]))


def join_options(words: Sequence[str]) -> list[str]:
    """Join --options and its value by =; argparse takes a value such as --time=60 for an option of its own."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in ("--options", "--shared-options"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    run(main, parse())
