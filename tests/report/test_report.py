"""What is told of a run: the report on one, the table of many."""

import re
from pathlib import Path
from typing import Any

import compare
from stiltwalk.analysis.gather import alike, of_common_seeds, permuted, retention, trajectories, used
from stiltwalk.report.drawing import Figure
from stiltwalk.report.notes import about
from stiltwalk.sweep.experiments import PLACE, WANTED, Experiment, code_of, unfinished
from stiltwalk.utils.stage import write_json


def test_what_was_done_to_the_data_is_told():
    place = {"path": "a/b", "sha": "0123456789abcdef", "license": "mit", "rows_published": 9, "rows_read": 7}
    one = place | {"dropped": {"unlabelled": 2}, "reanchored": 1}
    source = {
        "notes": ["Old things among the new."],
        "train": {"parts": [one, one], "rows_used": 5},
        "test": {"de": place | {"rows_published": 7, "rows_used": 4, "dropped": {}}},
    }
    assert about(source) == [
        "- Old things among the new.",
        "- from a/b at 0123456789ab (mit)",
        "- rows read: 21",
        "- rows used: 9",
        "- reanchored: 2",
        "- unfit, never used: 4 unlabelled",
        "- 2 of 3 parts have another number of rows than was published",
    ]


def a_run(name: str, steps: list[str | None], **changes: Any) -> Experiment:
    """Of one target; `changes` are of a task's own facts, as `++tasks.<task>.training.epochs=1` makes them."""
    tasks = {task: {"kind": "pair"} for task in ("null", "mnli", "my-task", "qqp", "anli_plus")}
    for task, facts in changes.items():
        tasks[task.replace("_", "-")] |= facts
    order = ["null" if step is None else step for step in steps]
    params = {
        "order": steps,
        "targets": ["udpos", "bucc"],
        "tasks": tasks,
        "xtreme": {
            "udpos": {"kind": "tagging", "notes": name},
            "xnli": {"kind": "pair", "languages": [name]},
            "bucc2018": {"kind": "mining"},
        },
        "mixtures": {step: {"tasks": {task: tasks[task] for task in step.split("+")}} for step in order},
        "benchmark": {"udpos": {"data": {"kind": "tagging", "notes": name}}, "bucc2018": {"kind": "mining"}},
        "training": {"epochs": 3},
        "chain": {"1-null": {"init": "models/encoder"}},
        "source": "world",
        "seed": 42,
    }
    return Experiment(name, "", "", params, {}, {})


def test_experiments_are_told_apart_by_what_they_used_only():
    found = used(a_run("one", [None, "mnli", "my-task+qqp"]).params)
    assert found == {
        "source": "world",
        "tasks.null.kind": "pair",
        "tasks.mnli.kind": "pair",
        "tasks.my-task.kind": "pair",
        "tasks.qqp.kind": "pair",
        "xtreme.udpos.kind": "tagging",
        "xtreme.bucc2018.kind": "mining",
        "training.epochs": 3,
    }


def test_a_setting_that_one_run_alone_has_tells_it_apart_and_a_run_of_both_groups_is_in_both():
    epochs = {"training": {"epochs": 1}}
    runs = [
        a_run("default", ["mnli", "qqp"]),
        a_run("baseline", [], mnli=epochs),
        a_run("other order", ["qqp", "mnli"]),
        a_run("fewer", ["mnli", "qqp"], mnli=epochs),
        a_run("hyphen", ["my-task"]),
        a_run("hyphen too", ["my-task"], my_task=epochs),
    ]
    groups = alike(runs)
    assert [[one.name for one in group.members] for group in groups] == [
        ["default", "baseline", "other order", "hyphen"],
        ["baseline", "fewer", "hyphen too"],
    ]
    assert [group.size for group in groups] == [4, 2]  # the baseline counts once, where it was first
    both = [f"tasks.{task}.training.epochs" for task in ("mnli", "my-task")]
    assert [groups[0].differences(group) for group in groups] == [[], [f"{name}=1" for name in both]]
    assert groups[1].differences(groups[0]) == [f"{name}=(not set)" for name in both]
    # What follows from the settings by the code's own rules may differ where no setting does.
    derived = a_run("derived", ["mnli"])
    derived.params["mixtures"]["mnli"]["training"] = {"keep": "last"}
    one, other = alike([runs[0], derived])
    assert one.differences(other) == ["mixtures.mnli.training.keep=last"]
    # Where files lie, and a name that is the target's own, are none of the settings; another name is other luck.
    older, newer, shared = (a_run(name, ["mnli"]) for name in ("older", "newer", "shared"))
    older.params["benchmark"]["udpos"] |= {"code": "src/kinds/tagging.py", "curves": "metrics/curves/udpos"}
    newer.params["benchmark"]["udpos"] |= {"tuned_as": "udpos"}
    shared.params["benchmark"]["udpos"] |= {"tuned_as": "panx"}
    assert [len(group.members) for group in alike([older, newer, shared])] == [2, 1]


def test_what_a_sweep_has_yet_to_run_is_told(tmp_path):
    runs = [Experiment(name, "", commit, {}, {}, {}) for name, commit in (("a", "now"), ("b", "before"), ("x", "now"))]
    assert unfinished(runs, tmp_path) is None
    write_json({"commit": "now", "names": ["a", "b"]}, tmp_path / PLACE / WANTED)
    assert unfinished(runs, tmp_path) == {"finished": 1, "of": 2}  # b is of another commit, and will run again
    assert unfinished([*runs, Experiment("b", "", "now", {}, {}, {})], tmp_path) is None
    assert unfinished(runs[1:], tmp_path) is None  # another sweep's experiments


def experiment(order, seed, kept):
    """A run whose probes found `kept`: by step what it and the steps before it scored."""
    keys = [f"{place}-{step}" for place, step in enumerate(order, 1)]
    steps: dict[str, Any] = {"0-encoder": {"retention": {}, "retrieval": [50.0, 60.0]}}
    for row, key in zip(kept, keys, strict=True):
        scores = {one: {one.split("-")[1]: {"accuracy": value}} for one, value in zip(keys, row, strict=False)}
        steps[key] = {"retention": scores, "retrieval": [40.0, 50.0 + seed]}
    params, cells = {"order": list(order), "seed": seed}, {"targets": {}, "steps": steps}
    return Experiment(f"{order}{seed}", "", "", params, {}, cells)


def test_what_is_kept_of_a_step_is_gathered_over_seeds():
    runs = [
        experiment(("mnli", "squad"), 1, [[90.0], [70.0, 60.0]]),
        experiment(("mnli", "squad"), 2, [[92.0], [76.0, 66.0]]),
        experiment(("squad", "mnli"), 1, [[50.0], [45.0, 88.0]]),
    ]
    found = {tuple(one["order"]): one for one in retention(runs)}
    assert found["mnli", "squad"]["matrix"] == [[91.0, None], [73.0, 63.0]]
    assert found["mnli", "squad"]["steps"] == ["1-mnli", "2-squad"]
    measures = found["mnli", "squad"]["measures"]
    assert (measures["backward_transfer"]["mean"], measures["backward_transfer"]["n"]) == (-18.0, 2)
    # Of seed 1 alone it is known what SQuAD scores when it comes first.
    assert measures["forward_transfer"] == {"mean": 10.0, "sd": None, "n": 1}
    path = {tuple(one["order"]): one for one in trajectories(runs)}["mnli", "squad"]
    assert path["checkpoints"] == ["0-encoder", "1-mnli", "2-squad"]
    assert path["layers"] == [[50.0, 60.0], [40.0, 51.5], [40.0, 51.5]]


def test_the_permuted_tasks_are_those_of_most_orders():
    orders = [("mnli", "squad", "qqp"), ("squad", "mnli", "qqp"), ("mnli", "squad"), ("mnli",), (), ("mnli+squad",)]
    assert permuted([experiment(order, 1, [[1.0] * n for n in range(1, len(order) + 1)]) for order in orders]) == [
        "mnli",
        "qqp",
        "squad",
    ]
    assert permuted([experiment(("mnli",), 1, [[1.0]])]) == []


def test_a_run_of_a_seed_that_few_orders_have_is_set_apart():
    orders = [("mnli",), ("squad",), ("mnli", "squad")]
    runs = [experiment(o, seed, [[1.0] * n for n in range(1, len(o) + 1)]) for seed in (1, 2) for o in orders]
    lone = experiment(("mnli",), 42, [[1.0]])
    missing = runs[:-1]  # a seed that lacks an order or two is kept
    assert of_common_seeds([*missing, lone]) == (missing, [lone])
    assert of_common_seeds([lone]) == ([lone], [])


def test_experiments_of_other_code_are_told(monkeypatch):
    """Commits between which only what plans and draws has changed are one version."""
    monkeypatch.setattr(compare, "code_of", {"a": "one", "b": "one", "c": "other"}.get)
    runs = [Experiment("", "", baseline, {}, {}, {}) for baseline in "aabc"]
    found = compare.versions([*runs, Experiment("workspace", "", "", {}, {}, {})])
    assert found == [{"experiments": 3, "commit": "b"}, {"experiments": 1, "commit": "c"}]
    assert compare.versions(runs[:3]) == []
    told = code_of("HEAD", Path(__file__).parents[2])
    assert "dvc.yaml" in told and "src/training" in told and "src/study" not in told


def test_targets_stand_in_xtremes_order_leaks_are_told_and_of_equal_runs_the_last_counts(tmp_path, monkeypatch):
    targets = ["xnli", "panx", "xquad", "mlqa", "tatoeba"]  # not as the alphabet has them
    training = {"epochs": 3, "batch_size": 32, "learning_rate": 3e-5, "mixed_precision": "no"}
    params = {
        "encoder": {"path": "xlm-roberta-base"},
        "training": training,
        "source": "world",
        "sample": {"train": 0, "test": 0},
        "mixtures": {},
        "benchmark": {},
        "tasks": {"mnli": {"kind": "pair"}, "squad": {"kind": "qa"}},
        "xtreme": {target: {"kind": "qa" if target in ("xquad", "mlqa") else "pair"} for target in targets},
    }

    def run(name: str, order: tuple[str, ...], score: float) -> Experiment:
        leaks = {target: "squad" for target in ("xquad", "mlqa") if "squad" in order}
        summary = {"tasks": {target: {"leak": leaks[target]} if target in leaks else {} for target in targets}}
        languages = {"languages": {"de": score, "en": score + 10}, "validation": score}
        cells = {"targets": dict.fromkeys(targets, languages), "steps": {}}
        return Experiment(name, "", "", params | {"order": list(order), "seed": 1}, summary, cells)

    there, back = ("mnli", "squad"), ("squad", "mnli")
    runs = [run("workspace", back, 50.0), run("old-one", there, 10.0), run("new-one", there, 60.0)]
    (tmp_path / "metrics").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Figure, "write", lambda self, _: '<svg role="img" aria-label="ALT"></svg>')
    joint = ("mnli+squad", "mnli"), ("mnli", "mnli+squad")
    shown = compare.analyse([run(str(order), order, 50.0 + i) for i, order in enumerate(joint)], [])
    assert shown and "mnli+squad → mnli" in re.sub("<[^>]*>", "", shown.read_text(encoding="utf-8"))
    compare.analyse([*runs, run("back-one", back, 50.0)], [])
    page = Path("report/index.html").read_text(encoding="utf-8")
    text = re.sub("<[^>]*>", "", page)
    assert "the last one counts; old-one is left out" in text and "15.0" not in text and "65.0" in text
    assert re.findall(r'scope="col"[^>]*>(\w+)', page.partition('id="table-orders"')[2])[:7] == [
        "order",
        "all",
        *targets,
    ]
    assert "xquad† (leak: squad)" in text and "(xquad, mlqa: squad)" in text and "xnli†" not in text
    assert re.findall('aria-label="languages-(.*?),', page) == targets
    rows = Path("report/tables/orders.csv").read_text().splitlines()[1:7]
    assert [row.split(",")[-6] for row in rows] == ["all", *targets]
