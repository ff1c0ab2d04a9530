"""Tables of scores from experiments, in the form that the statistics read."""

from collections.abc import Sequence
from statistics import mean

import pandas as pd

from stiltwalk.analysis.cells import COLUMNS
from stiltwalk.analysis.settings import mixtures_of, targets_of
from stiltwalk.sweep.experiments import Experiment


def score_tables(experiments: Sequence[Experiment]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return test scores (order, seed, target, language, score) and validation scores (order, seed, target, score)."""
    scores, validation = [], []
    for experiment in experiments:
        key = ",".join(experiment.order), experiment.seed
        for target, cell in experiment.cells["targets"].items():
            scores += [(*key, target, language, score) for language, score in cell["languages"].items()]
            if cell["validation"] is not None:
                validation.append((*key, target, cell["validation"]))
    return (
        pd.DataFrame(scores, columns=COLUMNS["scores"]),
        pd.DataFrame(validation, columns=COLUMNS["validation"]),
    )


def target_kinds(experiments: Sequence[Experiment]) -> dict[str, str]:
    """Return the kind of every target."""
    return {
        target: block["task"]["kind"] for experiment in experiments for target, block in targets_of(experiment).items()
    }


def task_kinds(experiments: Sequence[Experiment]) -> dict[str, str]:
    """Return the kind of every task and step.

    A joint step has the kind of its tasks if they agree. Otherwise its kind is `joint`, which no target has.
    """
    kinds: dict[str, str] = {}
    for experiment in experiments:
        for mixture in mixtures_of(experiment).values():
            kinds |= {task: options["kind"] for task, options in mixture["tasks"].items()}
    for step in dict.fromkeys(step for experiment in experiments for step in experiment.order):
        step_kinds = {kinds[task] for task in step.split("+")}
        kinds[step] = step_kinds.pop() if len(step_kinds) == 1 else "joint"
    return kinds


def mean_language_scores(experiments: Sequence[Experiment]) -> dict[str, dict[str, dict[str, float]]]:
    """Return every language's score by target and order, as means over seeds."""
    scores: dict[str, dict[str, dict[str, list[float]]]] = {}
    for experiment in experiments:
        for target, cell in experiment.cells["targets"].items():
            by_language = scores.setdefault(target, {}).setdefault(",".join(experiment.order), {})
            for language, score in cell["languages"].items():
                by_language.setdefault(language, []).append(score)
    return {
        target: {
            order: {language: round(mean(values), 6) for language, values in sorted(by_language.items())}
            for order, by_language in sorted(by_order.items())
        }
        for target, by_order in sorted(scores.items())
    }
