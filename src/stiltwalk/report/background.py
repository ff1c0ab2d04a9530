"""What the report says about the experiments beside their statistics: settings, flags, leaks, versions and data."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stiltwalk.analysis.settings import mixtures_of, targets_of
from stiltwalk.sweep.experiments import Experiment, code_version, read_output
from stiltwalk.tasks.base_spec import load_spec
from stiltwalk.utils.text import join_words

MIXTURE_SOURCES, TARGET_SOURCES = "data/sources/intermediate", "data/sources/xtreme"
DATA_NAMES = {"world": "the generated world", "hub": "the Hugging Face Hub", "own": "own files"}


def list_trained(runs: Iterable[Experiment]) -> list[str]:
    """The intermediate tasks of all runs, then their joint steps."""
    steps = dict.fromkeys(step for run in runs for step in run.order)
    return list(dict.fromkeys([*(task for step in steps for task in step.split("+")), *steps]))


def identify(run: Experiment) -> dict[str, Any]:
    """The name, order and seed of an experiment."""
    return {"name": run.name, "order": list(run.order), "seed": run.seed}


def collect_leaks(runs: Iterable[Experiment]) -> dict[str, list[str]]:
    """By target, the intermediate tasks of any run that trained on the target's own rows."""
    leaks: dict[str, dict[str, None]] = {}
    for run in runs:
        for target, scores in run.summary["tasks"].items():
            if "leak" in scores:
                leaks.setdefault(target, {}).update(dict.fromkeys(scores["leak"].split("+")))
    return {target: list(tasks) for target, tasks in leaks.items()}


def collect_cautions(runs: Iterable[Experiment]) -> dict[str, str]:
    """By target, why its scores do not compare with XTREME's, in any run."""
    cautions: dict[str, dict[str, None]] = {}
    for run in runs:
        for target, scores in run.summary["tasks"].items():
            if "caution" in scores:
                cautions.setdefault(target, {})[scores["caution"]] = None
    return {target: "; ".join(texts) for target, texts in cautions.items()}


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
        "data": join_words([DATA_NAMES[name] for name in data_sources(runs)]),
        "rows a step": training_rows(step_samples),
        "rows a target": training_rows(target_samples),
        "test rows a language": params["sample"]["test"] or "all",
        "passes of a step": training["epochs"],
        "examples a batch": training["batch_size"],
        "peak learning rate of a step": training["learning_rate"],
        "precision": "float32" if training["mixed_precision"] == "no" else training["mixed_precision"],
    }


def data_sources(runs: Iterable[Experiment]) -> list[str]:
    """The sources of the rows of all tasks and targets: world, hub and own."""
    sources: dict[str, None] = {}
    for run in runs:
        sources[run.params["source"]] = None
        records = [record for mixture in mixtures_of(run).values() for record in mixture["data"].values()]
        records += [target["data"] for target in targets_of(run).values()]
        sources |= dict.fromkeys(record["source"] for record in records if "source" in record)
    return list(sources)


def training_rows(samples: Mapping[str, Mapping[str, Any]]) -> Any:
    """The maximum number of training rows: one number if it is the same for all, otherwise a list in words."""
    rows = {name: sample["train"] or "all" for name, sample in samples.items()}
    if len(set(rows.values())) > 1:
        return ", ".join(f"{name} {number}" for name, number in rows.items())
    return next(iter(rows.values()), 0)


def read_sources(runs: Iterable[Experiment]) -> dict[str, dict[str, Any] | None]:
    """Read where the data of every task and target come from: what the data stages of the experiments wrote.

    The value is None if DVC's cache lacks the file. If experiments read different versions, there is one entry for
    each, whose name says which experiments read it.
    """
    users: dict[str, dict[str, list[Experiment]]] = {}  # by path and MD5
    for run in sorted(runs, key=lambda run: run.name):
        for path in (
            *(f"{MIXTURE_SOURCES}/{mixture}.json" for mixture in mixtures_of(run)),
            *(f"{TARGET_SOURCES}/{target}.json" for target in targets_of(run)),
        ):
            if path in run.outputs:
                users.setdefault(path, {}).setdefault(run.outputs[path], []).append(run)
    sources: dict[str, dict[str, Any] | None] = {}
    for path, versions in sorted(users.items()):
        total = sum(map(len, versions.values()))
        for readers in sorted(versions.values(), key=lambda readers: readers[0].name):
            some = f" (in {len(readers)} of {total} experiments, such as {readers[0].name})"
            version = some if len(versions) > 1 else ""
            text = read_output(readers[0], path)
            content = json.loads(text) if text is not None else None
            by_task = content if content and path.startswith(MIXTURE_SOURCES) else {Path(path).stem: content}
            sources |= {f"{name}{version}": source for name, source in by_task.items()}
    return sources
