"""Orders compared: every experiment as one line; then what can be said about the order, with its uncertainty.

    python src/compare.py [--table] [--name SWEEP] [--tasks mnli,squad,hellaswag] [--open]

Reads the experiments that Git holds. Those in which more than order and seed differs from the others are listed apart,
and only the largest group is analysed: metrics/order_effects.json, and report/ with a page, its figures and tables.
"""

import argparse
import json
import os
import signal
import webbrowser
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from score import COLUMNS
from stiltwalk.config.orders import FROZEN
from stiltwalk.sweep.experiments import NOW, Experiment, code_of, read_experiments, read_workspace, unfinished
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.stage import run, write_json

SHOWN = 5  # settings in which experiments differ, at most
SUMMARY, EFFECTS, REPORT = Path("metrics/summary.json"), Path("metrics/order_effects.json"), Path("report")
SOURCES = Path("data/sources")


def main(arguments: argparse.Namespace) -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` may stop listening
    from stiltwalk.analysis.gather import alike  # pandas and what follows, not before it is needed

    now, experiments = read_workspace(), read_experiments()
    if arguments.name:
        experiments = [one for one in experiments if one.name.startswith(f"{arguments.name}.")]
    elif now:
        experiments.insert(0, now)
    elif SUMMARY.is_file():
        print("the working tree is not shown: its scores are not of its params.yaml, whose run did not end")
    if not experiments:
        if arguments.name:
            raise InputError(f"there is no experiment of a sweep with --name {arguments.name}; `make show` shows all")
        raise InputError("there is no experiment yet: `dvc exp run` makes one, `python src/sweep.py run ...` many")
    groups = alike(experiments)
    largest = max(reversed(groups), key=lambda group: group.size)  # of equal ones the latest
    for number, group in enumerate(groups):
        if number:
            print()
        if differing := largest.differences(group):
            more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
            print(f"with {', '.join(differing[:SHOWN])}{more}")
        print_table(sorted(group.members, key=lambda one: (one.name != NOW, one.order, one.seed)))
    print("\nEnglish / mean of the other languages; - where there is none")
    if not arguments.table:
        apart = len(experiments) - len(largest.members)
        under_way = unfinished(largest.own) and unfinished(experiments)  # the page's own sweep, not another one
        page = analyse(largest.members, arguments.tasks.split(",") if arguments.tasks else [], apart, under_way)
        if page and arguments.open and not webbrowser.open(page.resolve().as_uri()):
            print(f"there is no browser here: {page.resolve().as_uri()}")


def analyse(
    members: Sequence[Experiment], tasks: Sequence[str], apart: int = 0, under_way: Mapping[str, int] | None = None
) -> Path | None:
    """The page on experiments that differ in order and seed alone, with statistics and figures; None without orders.

    apart: how many others there are. under_way: how much there is of their sweep, where it has not ended.
    """
    from stiltwalk.analysis.effects import order_effects
    from stiltwalk.analysis.gather import by_language, kinds, of_common_seeds, permuted, retention, tables, trajectories
    from stiltwalk.report.notes import notes
    from stiltwalk.report.page import write_report
    from stiltwalk.report.words import headline, so_far

    # Of two runs of one order and seed the later one counts; the working tree's only where it stands alone.
    latest = {(one.order, one.seed): one for one in members}
    replaced = [one for one in members if one.name != NOW and one is not latest[one.order, one.seed]]
    runs, others = of_common_seeds([latest[key] for key in sorted(latest)])
    tasks = tasks or permuted(runs)
    if len(tasks) < 2:
        print("\nno order to compare with its reverse yet: python src/sweep.py plan --tasks mnli,squad --seeds 3")
        return None
    known = kinds(runs)
    if wrong := [task for task in tasks if task not in known]:
        raise InputError(f"--tasks names {wrong[0]!r}, which no experiment here knows: {', '.join(known)}")
    scores, validation = tables(runs)
    study: dict[str, Any] = order_effects(scores, validation, tasks, known)
    study["design"]["targets"].sort(key=list(runs[0].params["xtreme"]).index)  # XTREME's order
    study |= {
        "title": f"The order of {', '.join(tasks[:-1])} and {tasks[-1]}",
        "experiments": len(runs),
        "unfinished": under_way,
        "settings": described(runs),
        "languages": by_language(runs),
        "retention": retention(runs),
        "trajectory": trajectories(runs),
        "runs": [named(one) | {"flags": flags(one)} for one in runs],
        "left_out": [named(one) for one in others],
        "replaced": [named(one) for one in replaced],
        "apart": apart,
        "leaks": leaks(runs),
        "versions": versions(runs),
        "notes": notes(sources(runs)),
    }
    write_json(study, EFFECTS)
    write_report(study, REPORT)
    for told in filter(None, (so_far(study), headline(study))):
        print("\n" + told.replace("\u00a0", " "))
    page = REPORT / "index.html"
    print(f"{EFFECTS}, {page}: {len(runs)} experiments")
    return page


def named(run: Experiment) -> dict[str, Any]:
    return {"name": run.name, "order": list(run.order), "seed": run.seed}


def versions(runs: Sequence[Experiment]) -> list[dict[str, Any]]:
    """Where the runs are of several versions of the code, each by the last of its commits, and how many are of each."""
    found: dict[str, dict[str, Any]] = {}
    for commit, number in Counter(one.baseline for one in runs if one.baseline).items():
        version = found.setdefault(code_of(commit), {"experiments": 0})
        version |= {"commit": commit, "experiments": version["experiments"] + number}
    return list(found.values()) if len(found) > 1 else []


def flags(run: Experiment) -> list[str]:
    """What was wrong with a step or a target of the run."""
    found = run.summary.get("flags", {}).items()
    return [f"{where} {why}" for where, why in found if where.split()[-1] != "null"]  # it has nothing to learn


def leaks(runs: Sequence[Experiment]) -> dict[str, list[str]]:
    """By target the intermediate tasks of any run that trained on the target's own training rows."""
    found: dict[str, dict[str, None]] = {}
    for one in runs:
        for target, scores in one.summary["tasks"].items():
            if "leak" in scores:
                found.setdefault(target, {}).update(dict.fromkeys(scores["leak"].split("+")))
    return {target: list(tasks) for target, tasks in found.items()}


def described(runs: Sequence[Experiment]) -> dict[str, Any]:
    """What a reader wants to know of the settings that all experiments share."""
    params = max(runs, key=lambda one: len(one.order)).params  # a baseline uses nothing of what is set for steps
    encoder, training = params["encoder"], params["training"]
    mixtures = [mixture for one in runs for mixture in one.params["mixtures"].values()]
    steps = {task: mixture["data"][task]["sample"] for mixture in mixtures for task in mixture["tasks"]}
    tuned = {name: block for name, block in params["benchmark"].items() if block["task"]["kind"] not in FROZEN}
    targets = {name: block["data"]["sample"] for name, block in tuned.items()}
    name = encoder.get("path") or f"{encoder['layers']} x {encoder['hidden_size']}, pretrained on the generated world"
    return {
        "encoder": name,
        "data": {"world": "the generated world", "hub": "the hub's"}[params["source"]],
        "rows a step": rows(steps),
        "rows a target": rows(targets),
        "test rows a language": params["sample"]["test"] or "all",
        "passes of a step": training["epochs"],
        "examples a batch": training["batch_size"],
        "peak learning rate of a step": training["learning_rate"],
        "precision": "float32" if training["mixed_precision"] == "no" else training["mixed_precision"],
    }


def rows(samples: Mapping[str, dict[str, Any]]) -> Any:
    """How many training rows there are at most: one number where it is the same for all."""
    counts = {name: sample["train"] or "all" for name, sample in samples.items()}
    listed = ", ".join(f"{name} {count}" for name, count in counts.items())
    return listed if len(set(counts.values())) > 1 else next(iter(counts.values()), 0)


def sources(runs: Sequence[Experiment]) -> dict[str, dict[str, Any]]:
    """What was read of every task and target, where it lies in the working tree."""
    found: dict[str, dict[str, Any]] = {}
    for one in runs:
        for mixture in one.params["mixtures"]:
            found |= read_json(SOURCES / "intermediate" / f"{mixture}.json")
        for target in one.params["benchmark"]:
            if source := read_json(SOURCES / "xtreme" / f"{target}.json"):
                found[target] = source
    return found


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def print_table(experiments: Sequence[Experiment]) -> None:
    """One line an experiment: English and the mean of the other languages for every target."""
    targets = list(dict.fromkeys(target for one in experiments for target in one.summary["tasks"]))
    table = [["experiment", "order", "seed", *targets]]
    for one in experiments:
        scores = [one.summary["tasks"].get(target, {}) for target in targets]
        cells = [
            " / ".join(f"{score[column]:.1f}" if column in score else "-" for column in COLUMNS[1:3])
            for score in scores
        ]
        table.append([one.name, " -> ".join(one.order) or "none", str(one.seed), *cells])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="the experiments alone, no analysis")
    parser.add_argument("--tasks", help="the permuted tasks, where it is not those of most orders")
    parser.add_argument("--name", default="", help="of the sweep whose experiments are compared; without it, all are")
    parser.add_argument("--open", action="store_true", help="show the report in a browser")
    os.chdir(Path(__file__).parents[1])
    run(main, parser.parse_args())
