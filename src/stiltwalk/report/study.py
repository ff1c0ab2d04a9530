"""A study: everything that experiments say about orders, as it is in metrics/order_effects.json and on the page."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stiltwalk.analysis.effects import order_effects
from stiltwalk.analysis.retention import retention_by_order, trajectories_by_order
from stiltwalk.analysis.runs import find_permuted_tasks, select_common_seeds
from stiltwalk.analysis.settings import mixtures_of, targets_of
from stiltwalk.analysis.tables import mean_language_scores, score_tables, task_kinds
from stiltwalk.report.data_notes import data_notes
from stiltwalk.scoring.tasks import XTREME_TASKS
from stiltwalk.sweep.experiments import WORKSPACE, Experiment, Progress, code_version
from stiltwalk.tasks.base_spec import load_spec
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.text import join_words

SOURCES = Path("data/sources")
DATA_NAMES = {"world": "the generated world", "hub": "the Hugging Face Hub"}


@dataclass(frozen=True)
class Selection:
    """Which experiments a study analyses, and which it leaves out."""

    runs: list[Experiment]
    """One for each order and seed."""
    rare_seeds: list[Experiment]
    """Left out because few orders have their seeds."""
    replaced: list[Experiment]
    """Left out because a later run has the same order and seed."""


def build_study(
    experiments: Sequence[Experiment],
    tasks: Sequence[str],
    *,
    n_other_settings: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any] | None:
    """Analyse experiments that differ only in order and seed.

    tasks: the permuted tasks; if empty, those of which most orders are permutations. n_other_settings: the number of
    experiments with other settings, which the report mentions. progress: of the sweep, if it is incomplete.

    Returns the study, or None if there are no orders to compare. Raises InputError for a task that no experiment trains
    on.
    """
    selection = select_runs(experiments)
    runs = selection.runs
    tasks = tasks or find_permuted_tasks(runs)
    if len(tasks) < 2:
        return None
    kinds = task_kinds(runs)
    trained = list_trained(runs)
    if unknown := [task for task in tasks if task not in trained]:
        raise InputError(f"--tasks: no experiment trains on {unknown[0]!r}; choose from {', '.join(trained)}")
    scores, validation = score_tables(runs)
    study: dict[str, Any] = order_effects(scores, validation, tasks, kinds)
    study["design"]["targets"].sort(key=list(XTREME_TASKS).index)
    return study | {
        "title": f"The order of {join_words(tasks)}",
        "experiments": len(runs),
        "unfinished": progress and {"finished": progress.finished, "of": progress.total},
        "settings": shared_settings(runs),
        "languages": mean_language_scores(runs),
        "retention": retention_by_order(runs),
        "trajectory": trajectories_by_order(runs),
        "runs": [identify(run) | {"flags": list_flags(run)} for run in runs],
        "left_out": [identify(run) for run in selection.rare_seeds],
        "replaced": [identify(run) for run in selection.replaced],
        "apart": n_other_settings,
        "leaks": collect_leaks(runs),
        "versions": code_versions(runs),
        "notes": data_notes(read_sources(runs)),
    }


def select_runs(experiments: Sequence[Experiment]) -> Selection:
    """Choose the last experiment of each order and seed, and leave out experiments whose seed few orders have.

    A replaced run of the working tree is not listed: it is usually the same run as the experiment that replaces it.
    """
    latest = {(run.order, run.seed): run for run in experiments}
    replaced = [run for run in experiments if run.name != WORKSPACE and run is not latest[run.order, run.seed]]
    runs, rare_seeds = select_common_seeds([latest[key] for key in sorted(latest)])
    return Selection(runs, rare_seeds, replaced)


def list_trained(runs: Iterable[Experiment]) -> list[str]:
    """The intermediate tasks of all runs, then their joint steps."""
    steps = dict.fromkeys(step for run in runs for step in run.order)
    return list(dict.fromkeys([*(task for step in steps for task in step.split("+")), *steps]))


def identify(run: Experiment) -> dict[str, Any]:
    """The name, order and seed of an experiment."""
    return {"name": run.name, "order": list(run.order), "seed": run.seed}


def list_flags(run: Experiment) -> list[str]:
    """What went wrong with a step or target of the run. A step on shuffled labels (`null`) cannot learn: no flag."""
    flags = run.summary.get("flags", {})
    return [f"{where} {problem}" for where, problem in flags.items() if where.split()[-1] != "null"]


def collect_leaks(runs: Iterable[Experiment]) -> dict[str, list[str]]:
    """By target, the intermediate tasks of any run that trained on the target's own training rows."""
    leaks: dict[str, dict[str, None]] = {}
    for run in runs:
        for target, scores in run.summary["tasks"].items():
            if "leak" in scores:
                leaks.setdefault(target, {}).update(dict.fromkeys(scores["leak"].split("+")))
    return {target: list(tasks) for target, tasks in leaks.items()}


def code_versions(runs: Iterable[Experiment]) -> list[dict[str, Any]]:
    """The versions of the training and scoring code, each with one of its commits and its number of experiments.

    Empty if all experiments have the same version.
    """
    versions: dict[str, dict[str, Any]] = {}
    for commit, number in Counter(run.baseline for run in runs if run.baseline).items():
        version = versions.setdefault(code_version(commit), {"experiments": 0})
        version |= {"commit": commit, "experiments": version["experiments"] + number}
    return list(versions.values()) if len(versions) > 1 else []


def shared_settings(runs: Sequence[Experiment]) -> dict[str, Any]:
    """The settings that all experiments share, as far as a reader of the report wants to know them."""
    longest = max(runs, key=lambda run: len(run.order))  # a baseline may differ in the settings of steps
    params = longest.params
    encoder, training = params["encoder"], params["training"]
    mixtures = [mixture for run in runs for mixture in mixtures_of(run).values()]
    step_samples = {task: mixture["data"][task]["sample"] for mixture in mixtures for task in mixture["tasks"]}
    target_samples = {
        name: target["data"]["sample"]
        for name, target in targets_of(longest).items()
        if load_spec(target["task"]["kind"]).trained
    }
    name = encoder.get("path") or f"{encoder['layers']} x {encoder['hidden_size']}, pretrained on the generated world"
    return {
        "encoder": name,
        "data": DATA_NAMES[params["source"]],
        "rows a step": training_rows(step_samples),
        "rows a target": training_rows(target_samples),
        "test rows a language": params["sample"]["test"] or "all",
        "passes of a step": training["epochs"],
        "examples a batch": training["batch_size"],
        "peak learning rate of a step": training["learning_rate"],
        "precision": "float32" if training["mixed_precision"] == "no" else training["mixed_precision"],
    }


def training_rows(samples: Mapping[str, Mapping[str, Any]]) -> Any:
    """The maximum number of training rows: one number if it is the same for all, otherwise a list in words."""
    rows = {name: sample["train"] or "all" for name, sample in samples.items()}
    if len(set(rows.values())) > 1:
        return ", ".join(f"{name} {number}" for name, number in rows.items())
    return next(iter(rows.values()), 0)


def read_sources(runs: Iterable[Experiment]) -> dict[str, dict[str, Any]]:
    """Read from the working tree where the data of every task and target come from, as far as it is there."""
    sources: dict[str, dict[str, Any]] = {}
    for run in runs:
        for mixture in mixtures_of(run):
            sources |= _read_json(SOURCES / "intermediate" / f"{mixture}.json")
        for target in targets_of(run):
            if source := _read_json(SOURCES / "xtreme" / f"{target}.json"):
                sources[target] = source
    return sources


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
