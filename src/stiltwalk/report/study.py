"""A study: everything that scores say about orders, as it is in metrics/order_effects.json and on the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stiltwalk.analysis.cells import read_cells
from stiltwalk.analysis.effects import order_effects
from stiltwalk.analysis.gains import gains_for_new_items
from stiltwalk.analysis.looks import find_look
from stiltwalk.analysis.options import ALPHA, SMALLEST
from stiltwalk.analysis.retention import retention_by_order, trajectories_by_order
from stiltwalk.analysis.runs import find_permuted_tasks, is_replaced, merge_runs, select_common_seeds
from stiltwalk.analysis.tables import ScoreTables, score_tables
from stiltwalk.report.background import (
    code_versions,
    collect_cautions,
    collect_leaks,
    identify,
    list_trained,
    read_sources,
    shared_settings,
)
from stiltwalk.report.data_notes import data_notes
from stiltwalk.report.page import write_report
from stiltwalk.report.summary import Summary
from stiltwalk.scoring.tasks import XTREME_TASKS
from stiltwalk.sweep.experiments import WORKSPACE, Experiment, Progress
from stiltwalk.sweep.trie import Order
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.files import write_json
from stiltwalk.utils.text import join_words


@dataclass(frozen=True)
class Options:
    """How a user wants scores to be analysed."""

    smallest: float = SMALLEST
    """The smallest standard deviation of order effects that matters, in points."""
    looks: int = 0
    """How many looks at the sweep were declared; 0 for one, when it is complete."""
    independent: bool = False
    """Whether orders share no checkpoints."""


@dataclass(frozen=True)
class Study:
    """The statistics of a table of scores, and what is known about the experiments behind it."""

    statistics: dict[str, Any]
    """See `stiltwalk.analysis.effects.order_effects`. They follow from the tables alone."""
    background: dict[str, Any]
    tables: ScoreTables

    @property
    def page(self) -> dict[str, Any]:
        """All that the page shows."""
        return self.statistics | self.background

    def write(self, effects: Path, folder: Path) -> Summary:
        """Write the statistics, and the page with its figures, tables and the scores behind it."""
        write_json(self.statistics, effects)
        summary = write_report(self.page, folder)
        self.tables.write(folder)
        return summary


@dataclass(frozen=True)
class Selection:
    """Which experiments a study analyses, and which it leaves out."""

    runs: list[Experiment]
    """One for each order and seed, with the targets of all its runs."""
    sources: list[Experiment]
    """The experiments that have scores in `runs`."""
    rare_seeds: list[Experiment]
    """Left out because few orders have their seeds."""
    replaced: list[Experiment]
    """Left out because later runs have the same order, seed and targets."""


def build_study(
    experiments: Sequence[Experiment],
    tasks: Sequence[str],
    *,
    n_other_settings: int = 0,
    progress: Progress | None = None,
    options: Options | None = None,
) -> Study | None:
    """Analyse experiments that differ only in order and seed.

    experiments: oldest first. tasks: the permuted tasks; if empty, those of which most orders are permutations.
    n_other_settings: the number of experiments with other settings, which the report mentions. progress: of the sweep,
    if it is incomplete.

    Returns the study, or None if there are no orders to compare. Raises InputError for a task that no experiment trains
    on.
    """
    options = options or Options()
    selection = select_runs(experiments)
    runs = selection.runs
    tasks = tasks or find_permuted_tasks(run.order for run in runs)
    if len(tasks) < 2:
        return None
    trained = list_trained(runs)
    if unknown := [task for task in tasks if task not in trained]:
        raise InputError(f"--tasks: no experiment trains on {unknown[0]!r}; choose from {', '.join(trained)}")
    tables = score_tables(runs)
    seeds = progress.seeds if progress else dict.fromkeys(sorted({run.seed for run in runs}), True)
    complete = {seed for seed, is_complete in seeds.items() if is_complete}
    look = find_look(options.looks, list(seeds), complete) if options.looks else None
    alpha = None if progress and look is None else look.alpha if look else ALPHA
    if look:
        tables, runs = tables.of_seeds(look.seeds), [run for run in runs if run.seed in look.seeds]
    cells = read_cells(tables.scores, tables.validation, tasks, tables.task_kinds, tables.target_kinds)
    background = {
        "unfinished": progress and {"finished": progress.finished, "of": progress.total},
        "look": look and vars(look),
        "settings": shared_settings(runs),
        "items": gains_for_new_items(runs, cells),
        "retention": retention_by_order(runs),
        "trajectory": trajectories_by_order(runs),
        "runs": [identify(run) | {"flags": [f"{place} {flag}" for place, flag in run.flags.items()]} for run in runs],
        "left_out": [identify(run) for run in selection.rare_seeds],
        "replaced": [identify(run) for run in selection.replaced],
        "apart": n_other_settings,
        "leaks": collect_leaks(runs),
        "cautions": collect_cautions(runs),
        "versions": code_versions(selection.sources),
        "notes": data_notes(read_sources(selection.sources)),
    }
    return analyse(tables, tasks, alpha, options, background)


def build_study_of_tables(tables: ScoreTables, tasks: Sequence[str], options: Options) -> Study:
    """Analyse tables of scores from elsewhere. tasks: the permuted tasks, as in `build_study`.

    Raises InputError if no order has all the tasks.
    """
    tasks = tasks or find_permuted_tasks(tables.orders)
    if not any(sorted(order) == sorted(tasks) for order in tables.orders):
        known = sorted({task for order in tables.orders for task in order})
        raise InputError(f"--tasks: no order consists of {join_words(list(tasks))}; the table has {', '.join(known)}")
    return analyse(tables, tasks, ALPHA, options, {})


def analyse(
    tables: ScoreTables, tasks: Sequence[str], alpha: float | None, options: Options, background: dict[str, Any]
) -> Study:
    """Compute the statistics of tables; XTREME's targets come first, in its sequence."""
    statistics = order_effects(
        tables.scores,
        tables.validation,
        tasks,
        tables.task_kinds,
        target_kinds=tables.target_kinds,
        smallest=options.smallest,
        alpha=alpha,
        independent=options.independent,
    )
    rank = {target: number for number, target in enumerate(XTREME_TASKS)}
    statistics["design"]["targets"].sort(key=lambda target: (rank.get(target, len(rank)), target))
    statistics["languages"] = tables.language_means
    title = f"The order of {join_words(list(tasks))}"
    return Study(statistics, {"title": title} | background, tables)


def select_runs(experiments: Sequence[Experiment]) -> Selection:
    """Merge the experiments of each order and seed, and leave out those whose seed few orders have.

    experiments: oldest first. The run of the working tree counts only if it is not one of the experiments.
    """
    kept = [run for run in experiments if run.name != WORKSPACE]
    kept += [run for run in experiments if run.name == WORKSPACE and run.cells not in [one.cells for one in kept]]
    by_key: dict[tuple[Order, int], list[Experiment]] = {}
    for run in kept:
        by_key.setdefault((run.order, run.seed), []).append(run)
    replaced = [
        run for same in by_key.values() for place, run in enumerate(same) if is_replaced(run, same[place + 1 :])
    ]
    runs, rare_seeds = select_common_seeds([merge_runs(by_key[key]) for key in sorted(by_key)])
    seeds = {run.seed for run in runs}
    sources = [run for run in kept if run.seed in seeds and run not in replaced]
    return Selection(runs, sources, rare_seeds, replaced)
