"""Score the prediction files of every target as XTREME does, and sum them up.

    python src/score.py

metrics/summary.json has task, group and overall scores, and how well the last encoder retains the order's tasks. `leak`
names the intermediate tasks that train on a target's own rows: their gain is not transfer. `caution` and `incomplete`
say which numbers do not compare with XTREME's. metrics/cells.json has each target's validation score and its scores by
language, each checkpoint's probes, and the MD5 of everything that was read. Git tracks both.

A directory is one dependency to DVC. Results that an earlier run left for other targets or steps are removed first, so
that every clone has the same directories, and so that predictions/ never mixes two orders.
"""

from stiltwalk.utils.process import prepare_stage

if __name__ == "__main__":
    prepare_stage()

import shutil
from collections.abc import Collection
from pathlib import Path

from stiltwalk.config.orders import checkpoint_keys
from stiltwalk.scoring.aggregate import TaskScores, score_task
from stiltwalk.scoring.probes import read_probes
from stiltwalk.scoring.summary import make_cells, make_summary, print_summary
from stiltwalk.scoring.tasks import XTREME_TASKS
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.files import atomic_dir, dvc_md5, read_json, write_csv, write_json
from stiltwalk.utils.params import read_params
from stiltwalk.utils.stage import run_stage

LABELS, PREDICTIONS, TARGETS, PROBES = map(Path, ("data/labels", "predictions", "metrics/targets", "metrics/probes"))


def main() -> None:
    order, leaks = read_params("order", "plan.leaks")
    order = [step or "null" for step in order]  # YAML reads the task `null` as its own null
    targets = list(leaks)  # it has a key for every target
    remove_earlier_results(targets, checkpoint_keys(order))
    check_inputs(targets)
    scores = {target: score_task(target, LABELS / target, PREDICTIONS / target) for target in targets}
    facts = {target: read_json(TARGETS / f"{target}.json") for target in targets}
    probes = read_probes(PROBES, checkpoint_keys(order))
    summary = make_summary(scores, facts, probes, leaks)
    write_reports(scores)
    inputs = {path.as_posix(): dvc_md5(path) for path in list_inputs(targets)}
    write_json(make_cells(scores, facts, probes) | {"inputs": inputs}, Path("metrics/cells.json"))
    write_json(summary, Path("metrics/summary.json"))
    print_summary(order, summary)
    for scored in scores.values():
        for warning in scored.warnings:
            print(warning)


def remove_earlier_results(targets: Collection[str], checkpoints: Collection[str]) -> None:
    """Remove labels, predictions and metrics of other known targets, and probes of other steps; DVC's cache keeps them.

    Without Tatoeba among the targets, all trajectories are removed.
    """
    for target in XTREME_TASKS.keys() - set(targets):
        shutil.rmtree(LABELS / target, ignore_errors=True)
        shutil.rmtree(PREDICTIONS / target, ignore_errors=True)
        (TARGETS / f"{target}.json").unlink(missing_ok=True)
    for path in PROBES.glob("*/*"):
        is_stale = path.parent.name == "trajectory" and "tatoeba" not in targets
        if is_stale or path.stem not in checkpoints:
            path.unlink()


def check_inputs(targets: Collection[str]) -> None:
    """Raise InputError if no stage has made the labels or predictions of a target yet."""
    for folder in (parent / target for target in targets for parent in (LABELS, PREDICTIONS)):
        if not folder.is_dir():
            raise InputError(f"{folder} is missing; `dvc repro` runs the stage that makes it")


def list_inputs(targets: Collection[str]) -> list[Path]:
    """Return the outputs of other stages that scores are made from.

    DVC knows them as parts of folders, so only this record ties an experiment's scores to its other stages.
    """
    folders = [folder / target for target in targets for folder in (LABELS, PREDICTIONS)]
    return [*folders, *(TARGETS / f"{target}.json" for target in targets), *sorted(PROBES.glob("*/*"))]


def write_reports(scores: dict[str, TaskScores]) -> None:
    """Write every number of every target, and each target's scores by language for DVC's plots."""
    with atomic_dir(Path("metrics/scores")) as reports, atomic_dir(Path("metrics/languages")) as languages:
        for target, scored in scores.items():
            report = scored.columns | {"averages": scored.averages, "languages": scored.languages}
            write_json(report, reports / f"{target}.json")
            points = ([target, language, score] for language, score in scored.by_language.items())
            write_csv(["task", "language", "score"], points, languages / f"{target}.csv")


if __name__ == "__main__":
    run_stage(main)
