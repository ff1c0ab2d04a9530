"""Compare orders: list every experiment, then report what the experiments say about the order, with its uncertainty.

    python src/compare.py [--table] [--name SWEEP] [--tasks mnli,squad,hellaswag] [--open]
    python src/compare.py --scores FILE.csv [--validation FILE.csv] [--separator ">"] [--independent]

Reads the experiments that Git holds. Experiments with different settings are listed separately, and only the largest
group is analysed: metrics/order_effects.json has the statistics, report/ has a page with figures, tables and scores.
With --scores, a table of scores from elsewhere is analysed in the same way, into the folder FILE-report beside it.
"""

import argparse
import math
import os
import signal
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stiltwalk.analysis.options import SMALLEST
from stiltwalk.analysis.settings import SettingsGroup, group_by_settings
from stiltwalk.report.listing import print_difference_from_head, print_groups, print_others
from stiltwalk.sweep.experiments import (
    WORKSPACE,
    Experiment,
    read_scored_and_others,
    read_workspace,
    unfinished_sweep,
)
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.stage import run
from stiltwalk.utils.text import count

if TYPE_CHECKING:
    from stiltwalk.report.study import Study

SUMMARY, EFFECTS, REPORT = Path("metrics/summary.json"), Path("metrics/order_effects.json"), Path("report")


def main(arguments: argparse.Namespace) -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end quietly if `| head` stops reading
    if not 0 < arguments.smallest < math.inf:
        raise InputError(f"--smallest is {arguments.smallest}; it must be a number of points above 0")
    if arguments.scores:
        if arguments.name or arguments.table:
            raise InputError("--name and --table are for experiments, and --scores names a table; leave them out")
        if arguments.looks:
            raise InputError(
                "--looks is for a sweep that runs here; a table does not say which seeds are still to come"
            )
        show(write_study_of_tables(arguments), arguments.open)
        return
    if arguments.validation or arguments.separator != ",":
        raise InputError("--validation and --separator need --scores; they are for tables from elsewhere")
    if arguments.looks is not None and arguments.looks < 1:
        raise InputError(f"--looks is {arguments.looks}; it must be 1 or more")
    experiments, others = select_experiments(arguments.name)
    groups = group_by_settings(experiments)
    largest = max(reversed(groups), key=lambda group: group.size)  # of equally large ones, that which began last
    print_groups(groups, largest)
    print_others(others)
    print_difference_from_head(next((one for one in experiments if one.name == WORKSPACE), None))
    if not arguments.table:
        show(write_study(experiments, largest, arguments), arguments.open)


def show(page: Path | None, in_browser: bool) -> None:
    """Open a page, if the user asked for it."""
    if page and in_browser and not webbrowser.open(page.resolve().as_uri()):
        print(f"no browser found; open {page.resolve().as_uri()}")


def select_experiments(sweep: str) -> tuple[list[Experiment], dict[str, str]]:
    """Read the experiments of a sweep, or all of them and the working tree if no sweep is named.

    Returns those that are scored, and why each of the others is not, by name.
    """
    experiments, others = read_scored_and_others()
    if sweep:
        experiments = [one for one in experiments if one.name.startswith(f"{sweep}.")]
        others = {name: reason for name, reason in others.items() if name.startswith(f"{sweep}.")}
        if not experiments:
            raise InputError(f"--name {sweep}: no sweep of this name has an experiment; `make show` lists all of them")
        return experiments, others
    if workspace := read_workspace():
        experiments.append(workspace)
    elif SUMMARY.is_file():
        reason = "not all of its stages ran with its parameters; `dvc repro` runs the others"
        others = {"the working tree": reason} | others
    if not experiments:
        print_others(others)
        raise InputError("no experiments yet; run `dvc exp run` for one, or `python src/sweep.py run ...` for many")
    return experiments, others


def write_study(experiments: Sequence[Experiment], group: SettingsGroup, arguments: argparse.Namespace) -> Path | None:
    """Analyse a group of experiments, and write statistics and page; returns the page, or None without orders."""
    from stiltwalk.report.study import Options, build_study  # with matplotlib and statsmodels, which a table spares

    # A sweep is only reported as incomplete if its experiments are in this group.
    incomplete = unfinished_sweep(experiments) if unfinished_sweep(group.primary) else None
    n_others = len(experiments) - len(group.members)
    options = Options(arguments.smallest, arguments.looks or 0, arguments.independent)
    tasks = parse_tasks(arguments)
    study = build_study(group.members, tasks, n_other_settings=n_others, progress=incomplete, options=options)
    if study is None:
        print("\nno orders to compare yet; for example, run python src/sweep.py plan --tasks mnli,squad --seeds 3")
        return None
    return publish(study, EFFECTS, REPORT)


def write_study_of_tables(arguments: argparse.Namespace) -> Path:
    """Analyse tables of scores, and write statistics and page into a folder beside them; returns the page."""
    from stiltwalk.analysis.tables import read_tables
    from stiltwalk.report.study import Options, build_study_of_tables

    tables = read_tables(arguments.scores, arguments.validation, arguments.separator)
    options = Options(arguments.smallest, arguments.looks or 0, arguments.independent)
    study = build_study_of_tables(tables, parse_tasks(arguments), options)
    folder = arguments.scores.with_name(f"{arguments.scores.stem}-report")
    return publish(study, folder / "order_effects.json", folder)


def parse_tasks(arguments: argparse.Namespace) -> list[str]:
    """The permuted tasks that the user names; empty to find them."""
    return [task.strip() for task in arguments.tasks.split(",")] if arguments.tasks else []


def publish(study: "Study", effects: Path, folder: Path) -> Path:
    """Write a study and print its answer; returns the page."""
    from stiltwalk.report.summary import headline, progress

    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, and the report is a folder of that name; rename the file")
    summary = study.write(effects, folder)
    for sentence in filter(None, (progress(summary), headline(summary))):
        print("\n" + sentence.replace("\u00a0", " "))
    page = folder / "index.html"
    print(f"{effects}, {page}: {count(study.statistics['design']['runs'], 'experiment')}")
    return page


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="only list the experiments")
    parser.add_argument("--tasks", help="the permuted tasks, separated by commas (default: those of most orders)")
    parser.add_argument(
        "--smallest",
        type=float,
        default=SMALLEST,
        metavar="POINTS",
        help="smallest standard deviation of order effects that matters (default: %(default)s)",
    )
    parser.add_argument("--looks", type=int, metavar="K", help="look K times while a sweep runs, with few false alarms")
    parser.add_argument("--independent", action="store_true", help="the orders share no checkpoints")
    parser.add_argument("--name", default="", help="compare only the experiments of the sweep with this name")
    parser.add_argument("--open", action="store_true", help="show the report in a browser")
    table = parser.add_argument_group("scores from elsewhere, in place of the experiments")
    table.add_argument(
        "--scores", type=Path, metavar="FILE.csv", help="order, seed, target, language (optional), score"
    )
    table.add_argument("--validation", type=Path, metavar="FILE.csv", help="order, seed, target, score")
    table.add_argument("--separator", default=",", help="between the tasks of an order (default: a comma)")
    return parser.parse_args()


if __name__ == "__main__":
    options = parse()
    for name in ("scores", "validation"):  # are relative to the folder in which the user is
        if path := getattr(options, name):
            setattr(options, name, path.absolute())
    os.chdir(Path(__file__).parents[1])
    run(main, options)
