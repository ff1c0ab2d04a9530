"""Which experiments are compared with each other, and how the settings of the others differ."""

from typing import Any

from stiltwalk.analysis.settings import group_by_settings, list_settings
from stiltwalk.sweep.experiments import Experiment


def make_experiment(name: str, steps: list[str | None], **overrides: Any) -> Experiment:
    """An experiment with two targets; `overrides` are facts of a task, as `-S tasks.<task>.training.epochs=1` sets."""
    tasks = {task.replace("_", "-"): facts for task, facts in overrides.items()}
    order = ["null" if step is None else step for step in steps]
    mixtures = {
        step: {
            "source_code": "src/stiltwalk/miniworld",
            "data": {task: {"kind": "pair", "notes": name} for task in step.split("+")},
            "tasks": {task: {"kind": "pair"} for task in step.split("+")},
            "training": {"epochs": 3} | (tasks.get(step, {}).get("training", {})),
        }
        for step in order
    }
    targets: dict[str, Any] = {
        "udpos": {"rows_code": "a", "data": {"kind": "tagging", "notes": name}, "task": {"kind": "tagging"}},
        "bucc2018": {"data": {"kind": "mining"}, "task": {"kind": "mining"}},
    }
    params = {
        "order": steps,
        "targets": list(targets),
        "tasks": tasks,
        "xtreme": {"udpos": {"notes": name, "sample": {"train": 600}}, "xnli": {"languages": [name]}},
        "training": {"epochs": 3},
        "source": "world",
        "seed": 42,
        "plan": {
            "mixtures": mixtures,
            "targets": targets,
            "steps": {"1-null": {"init": "models/encoder"}},
            "tunings": {"udpos": {"seed_name": "udpos", "head_code": "b"}},
            "tuning_pairs": {},
            "leaks": {},
        },
    }
    return Experiment(name, "", "", params, {}, {})


def member_names(runs: list[Experiment]) -> list[list[str]]:
    return [[run.name for run in group.members] for group in group_by_settings(runs)]


def test_settings_are_those_that_the_experiment_uses():
    epochs = {"training": {"epochs": 1}}
    run = make_experiment("one", [None, "mnli", "my-task+qqp"], mnli=epochs, my_task=epochs, null=epochs, ccg=epochs)
    assert list_settings(run) == {
        "source": "world",
        "training.epochs": 3,
        "tasks.mnli.training.epochs": 1,
        "tasks.my-task.training.epochs": 1,
        "tasks.null.training.epochs": 1,
        "xtreme.udpos.sample.train": 600,
    }


def test_a_run_that_uses_no_differing_setting_is_in_both_groups():
    epochs = {"training": {"epochs": 1}}
    runs = [
        make_experiment("default", ["mnli", "qqp"]),
        make_experiment("baseline", [], mnli=epochs),
        make_experiment("other order", ["qqp", "mnli"]),
        make_experiment("fewer", ["mnli", "qqp"], mnli=epochs),
        make_experiment("hyphen", ["my-task"]),
        make_experiment("hyphen too", ["my-task"], my_task=epochs),
    ]
    groups = group_by_settings(runs)
    assert [[run.name for run in group.members] for group in groups] == [
        ["default", "baseline", "other order", "hyphen"],
        ["baseline", "fewer", "hyphen too"],
    ]
    assert [group.size for group in groups] == [4, 2]  # the baseline counts once, where it was first
    both = [f"tasks.{task}.training.epochs" for task in ("mnli", "my-task")]
    assert [groups[0].differences(group) for group in groups] == [[], [f"{name}=1" for name in both]]
    assert groups[1].differences(groups[0]) == [f"{name}=(not set)" for name in both]


def test_differences_leave_out_the_settings_of_tasks_that_only_one_group_uses():
    other = make_experiment("other", ["mnli", "ccg"], ccg={"training": {"epochs": 2}})
    other.params["training"] = {"epochs": 5}
    other.params["plan"]["mixtures"]["mnli"]["training"] = {"epochs": 5}
    one, two = group_by_settings([make_experiment("one", ["mnli"]), other])
    assert one.differences(two) == ["training.epochs=5"]


def test_derived_facts_are_listed_where_no_setting_differs():
    derived = make_experiment("derived", ["mnli"])
    derived.params["plan"]["mixtures"]["mnli"]["training"] = {"epochs": 3, "keep": "last"}
    one, other = group_by_settings([make_experiment("default", ["mnli", "qqp"]), derived])
    assert one.differences(other) == ["plan.mixtures.mnli.training.keep=last"]


def test_paths_to_code_and_notes_are_not_settings():
    older, newer = (make_experiment(name, ["mnli"]) for name in ("older", "newer"))
    older.params["plan"]["targets"]["udpos"] |= {"tokenize_code": "src/kinds/tagging.py"}
    newer.params["plan"]["mixtures"]["mnli"] |= {"source_code": "src/stiltwalk/data/hub"}
    assert member_names([older, newer]) == [["older", "newer"]]


def test_a_target_tuned_under_another_name_is_in_another_group():
    alone, unnamed, under_panx = (make_experiment(name, ["mnli"]) for name in ("alone", "unnamed", "under panx"))
    unnamed.params["plan"]["tunings"] = {}
    under_panx.params["plan"]["tunings"]["udpos"]["seed_name"] = "panx"
    assert member_names([alone, unnamed, under_panx]) == [["alone", "unnamed"], ["under panx"]]
    groups = group_by_settings([alone, under_panx])
    assert groups[0].differences(groups[1]) == ["plan.targets.udpos.seed_name=panx"]


def test_a_target_tuned_in_a_pair_has_the_seed_name_of_the_pair():
    single, pair = (make_experiment(name, ["mnli"]) for name in ("single", "pair"))
    single.params["plan"]["tunings"]["udpos"]["seed_name"] = "panx"
    pair.params["plan"]["targets"] = {"panx": {"data": {}, "task": {"kind": "tagging"}}} | pair.params["plan"][
        "targets"
    ]
    pair.params["plan"]["tunings"] = {}
    pair.params["plan"]["tuning_pairs"] = {"panx+udpos": {"first": "panx", "second": "udpos", "seed_name": "panx"}}
    assert member_names([single, pair]) == [["single", "pair"]]
    assert member_names([make_experiment("own name", ["mnli"]), pair]) == [["own name"], ["pair"]]
