"""Sweeps: their plan and cost; each step is trained once, even when a sweep is killed and resumed."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from clusters import dask_cluster, s3_server, slurm_cluster, wait_until
from laboratory import TINY, Project, clone
from stiltwalk.sweep.cost import START_SECONDS, Speed, estimate_cost
from stiltwalk.sweep.engines.local import share_out
from stiltwalk.sweep.experiments import completed_stages
from stiltwalk.sweep.graph import Task, build_tasks, find_forks
from stiltwalk.sweep.launch import refuse_uncommitted_changes
from stiltwalk.sweep.plan import Sweep
from stiltwalk.sweep.schedule import by_priority, longest_ways, wall_seconds
from stiltwalk.sweep.stages import Stage, stages_of, stages_to_share
from stiltwalk.utils.durations import digest_of_work
from stiltwalk.utils.errors import InputError
from sweep import parse_seeds

ROOT = Path(__file__).parents[2]
CONTROLS = ("baseline", "single", "joint", "null")


@pytest.fixture(scope="module")
def plan() -> Sweep:
    return Sweep.make(["mnli", "squad"], "all", [1, 2], CONTROLS, ["targets=[xnli,tatoeba]"], "", ROOT)


def test_a_plan_has_every_order_and_control_once_for_every_seed(plan):
    assert plan.orders == [
        (),
        ("mnli",),
        ("mnli", "squad"),
        ("squad",),
        ("squad", "mnli"),
        ("mnli+squad",),
        ("null",),
    ]
    assert plan.controls == [(), ("mnli",), ("squad",), ("mnli+squad",), ("null",)]
    assert (plan.trainings, plan.steps) == (12, 16)
    names = {plan.name(order, seed) for seed in plan.seeds for order in plan.orders}
    assert len(names) == 14 and {"none-s1", "mnli-squad-s2", "mnli+squad-s1", "null-s2"} <= names
    composed = plan.params_of(("squad", "mnli"), 2)
    assert composed["order"] == ["squad", "mnli"] and list(composed["plan"]["steps"]) == ["1-squad", "2-mnli"]
    assert composed["seed"] == 2


def test_forks_are_the_longest_prefixes_that_orders_share():
    orders = [("a",), ("a", "b", "c"), ("a", "b", "d"), ("b", "c", "a"), ("b", "c", "d"), ("c",)]
    assert find_forks(orders) == {("a",): ("a",), ("a", "b"): orders[1], ("b", "c"): orders[3]}


def test_every_step_that_orders_share_is_one_task(plan):
    tasks = {task.name: task for task in build_tasks(plan, set())}
    assert [*tasks][:4] == ["shared", "step-mnli-s1", "step-squad-s1", "none-s1"]
    assert tasks["step-mnli-s1"].after == ("shared",)
    assert tasks["mnli-s1"].after == tasks["mnli-squad-s1"].after == ("step-mnli-s1",)
    assert tasks["none-s1"].after == tasks["mnli+squad-s1"].after == ("shared",)
    assert [stage.dvc_name for stage in tasks["step-mnli-s1"].parts[0].stages] == [
        "intermediate@1-mnli",
        "retention@1-mnli",
        "trajectory@1-mnli",
    ]
    left = [task.name for task in build_tasks(plan, {(order, 1) for order in plan.orders if order != ("mnli",)})]
    assert left[0] == "mnli-s1" and "step-mnli-s1" not in left  # nothing else needs its step


def test_tasks_run_seed_by_seed_with_the_longest_way_to_the_end_first(plan):
    tasks = build_tasks(plan, set())
    seconds = {task.name: 5.0 if task.name.startswith("null") else 1.0 for task in tasks}
    names = [task.name for task in by_priority(tasks, seconds)]
    assert names[:4] == ["shared", "null-s1", "step-mnli-s1", "step-squad-s1"]
    places = {name: place for place, name in enumerate(names)}
    assert max(places[name] for name in names if name.endswith("s1")) < places["null-s2"]
    assert all(places[one] < places[task.name] for task in tasks for one in task.after)


def test_wall_time_follows_from_the_graph():
    """Two chains of two tasks, and one that takes three times as long."""
    tasks = [Task(name, after, ()) for name, after in [("a", ()), ("b", ()), ("c", ()), ("d", ("a",)), ("e", ("b",))]]
    seconds = {"a": 1.0, "b": 1.0, "c": 3.0, "d": 1.0, "e": 1.0}
    assert [wall_seconds(tasks, seconds, machines) for machines in (1, 2, 3, 9)] == [7, 4, 3, 3]
    assert longest_ways(tasks, seconds) == {"a": 2, "b": 2, "c": 3, "d": 1, "e": 1}


@pytest.mark.parametrize(
    ("devices", "jobs", "gpus", "third"),
    [
        *[("0,1,2,3,4,5,6,7", 4, 2, "4,5"), ("0,1,2,3,4", 4, 1, "2"), ("5", 3, 1, "3 GPUs are needed and there are 1")],
        *[("", 4, 1, None), (None, 3, 1, "2"), (None, 3, 2, "6 GPUs are needed and there are 3")],
    ],
)
def test_tasks_get_gpus_of_their_own(devices, jobs, gpus, third, tmp_path, monkeypatch):
    if devices is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        (tmp_path / "nvidia-smi").write_text(
            "#!/bin/sh\nprintf 'GPU 0: H100 (UUID: x)\\n  MIG 1g Device 0: (UUID: y)\\nGPU 1: H100\\nGPU 2: H100\\n'\n"
        )
        (tmp_path / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    if third and "needed" in third:
        with pytest.raises(InputError, match=third):
            share_out(2, jobs, gpus, share_gpus=False)
        assert share_out(2, jobs, gpus, share_gpus=True)["CUDA_VISIBLE_DEVICES"]
    else:
        assert share_out(2, jobs, gpus, share_gpus=False).get("CUDA_VISIBLE_DEVICES") == third


def test_every_stage_of_a_sweep_is_counted_once(plan):
    keys = [stage.key for seed in plan.seeds for order in plan.orders for stage in stages_of(plan, order, seed)]
    distinct = set(keys)
    counts = Counter(key[0] for key in distinct)
    assert counts["intermediate"] == counts["retention"] == 12
    assert counts["target"] == counts["retrieval"] == 14
    assert counts["trajectory"] == 12 + 1  # the pretrained encoder once for all seeds
    assert counts["xtreme"] == 2
    assert counts["data"] == 4


def test_a_stage_is_expected_to_take_as_long_as_it_took_before(plan, tmp_path, monkeypatch):
    times = tmp_path / "times.jsonl"
    monkeypatch.setenv("STILTWALK_TIMES", str(times))
    params = plan.params[("mnli", "squad")]
    lines = [
        {
            "script": "train_step.py",
            "name": "1-mnli",
            "work": digest_of_work(params, "train_step.py", ["1-mnli"]),
            "seconds": s,
        }
        for s in (30.0, 10.0, 11.0)
    ]
    times.write_text("".join(json.dumps(line) + "\n" for line in lines))
    speed = Speed(ROOT)
    # MNLI as the second step is the same work, with any seed; with more rows it is another.
    second = Stage("intermediate", "2-mnli", ())
    assert speed.seconds(second, plan.params[("squad", "mnli")]) == (11.0, True)
    monkeypatch.setattr(Speed, "tokens_per_second", lambda *_: 1000.0)
    more = Sweep.make(["mnli", "squad"], "all", [1], (), ["sample.train=99"], "", ROOT)
    seconds, known = speed.seconds(second, more.params[("squad", "mnli")])
    # 99 rows, three passes, about a third of 64 tokens; three validations of 500 rows count a third.
    assert not known and seconds == pytest.approx(START_SECONDS + 0.34 * 64 * (3 * 99 + 500) / 1000)
    tasks = build_tasks(plan, set())
    cost = estimate_cost(plan, tasks)
    alone, two = (wall_seconds(tasks, cost.tasks, jobs) for jobs in (1, 2))
    assert alone == pytest.approx(cost.total) and alone / 2 < two < alone


def test_the_cost_of_an_unfinished_sweep_is_what_is_left(plan, monkeypatch):
    monkeypatch.setattr(Speed, "seconds", lambda *_: (100.0, True))
    monkeypatch.setattr("stiltwalk.sweep.cost.completed_stages", lambda *_: set())  # whatever lies in this working tree
    first, all_of_first = {(("mnli",), 1)}, {(order, 1) for order in plan.orders}
    whole, one, left = (
        estimate_cost(plan, build_tasks(plan, done), done).tasks for done in (set(), first, all_of_first)
    )
    assert "shared" not in left  # of another seed, all data are there
    assert left.keys() == {name for name in whole if name.endswith("-s2")}
    assert 0 < one["shared"] < whole["shared"] and "mnli-s1" not in one
    # Its step is trained, so that no other task needs to train it.
    assert "step-mnli-s1" not in one and one["mnli-squad-s1"] == whole["mnli-squad-s1"]


def test_encoder_and_data_are_made_once_before_all_experiments(plan):
    names = [stage.dvc_name for _, stages in stages_to_share(plan, set()) for stage in stages]
    assert len(names) == len(set(names))
    assert {"encoder", "data@mnli", "data@squad", "data@mnli+squad", "data@null", "xtreme@tatoeba"} < set(names)
    left = {stage.dvc_name for _, stages in stages_to_share(plan, {(("mnli", "squad"), 2)}) for stage in stages}
    assert left == {"data@mnli+squad", "data@null"}
    assert "trajectory@0-encoder" in names


def test_current_outputs_in_the_working_tree_are_not_made_again(plan, tmp_path):
    params = plan.params[("mnli", "squad")]
    squad = params["plan"]["mixtures"]["squad"]["data"]
    stages = {
        "encoder": ({"encoder": params["encoder"]}, "models/0-encoder"),
        "data@mnli": ({"plan.mixtures.mnli.data": {"mnli": "another"}}, "data/intermediate/mnli"),
        "data@squad": (
            {"plan.mixtures.squad.data": squad},
            "data/intermediate/squad",
        ),
    }
    lock = {
        name: {"cmd": "", "params": {"params.yaml": used}, "outs": [{"path": out, "md5": "0"}]}
        for name, (used, out) in stages.items()
    }
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": lock}))
    for out in ("models/0-encoder", "data/intermediate/mnli"):
        (tmp_path / out).mkdir(parents=True)
    assert completed_stages(plan.params.values(), tmp_path) == {"encoder"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3", [1, 2, 3]), ("4,5", [4, 5]), ("4,", [4]), ("x", "write how many"), ("0", "must be 1 or more")],
)
def test_seeds_are_a_number_or_a_list(text, expected):
    if isinstance(expected, list):
        assert parse_seeds(text) == expected
    else:
        with pytest.raises(InputError, match=expected):
            parse_seeds(text)


def test_order_and_seed_cannot_be_overridden():
    with pytest.raises(InputError, match="the sweep itself sets order and seed"):
        Sweep.make(["mnli", "squad"], "all", [1], (), ["seed=3"])
    with pytest.raises(InputError, match="distinct whole numbers"):
        Sweep.make(["mnli", "squad"], "all", [1, 1], ())


def test_orders_with_the_same_experiment_name_are_refused():
    with pytest.raises(InputError, match=r"\['a', 'b-c'\] and \['a-b', 'c'\] would have the same .* name 'a-b-c-s1'"):
        Sweep.make(["a", "b-c", "a-b", "c"], "pairs", [1], ())
    with pytest.raises(InputError, match=r"\[\] and \['none'\] would have the same experiment name 'none-s1'"):
        Sweep.make(["none", "mnli"], "all", [1], ("baseline", "single"))


def test_a_speed_that_cannot_be_measured_is_reported_in_one_line(plan, monkeypatch, tmp_path):
    killed = subprocess.CompletedProcess([], -9, stdout="", stderr="")
    monkeypatch.setattr("stiltwalk.sweep.cost.subprocess.run", lambda *_, **__: killed)
    with pytest.raises(InputError, match="cannot be measured: it printed no error and may have been killed"):
        Speed(tmp_path).tokens_per_second(plan.params[("mnli",)])


def test_uncommitted_files_are_counted(tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "src").mkdir()
    for number, others in enumerate((r"", r" \(nor is 1 other file\)", r" \(nor are 2 other files\)")):
        (tmp_path / f"src/{number}.py").touch()
        subprocess.run(["git", "add", "-A"], cwd=tmp_path, check=True)
        with pytest.raises(InputError, match=f"^src/0.py is not committed{others}; a sweep runs what Git has"):
            refuse_uncommitted_changes(tmp_path)


def command(*more: str) -> list[str]:
    """Five orders of two tasks, four trainings, one seed, one target that is not tuned."""
    small = [*TINY[:-1], "targets=[tatoeba]"]
    sets = [word for override in small for word in ("-S", override)]
    fixed = ["--tasks", "mnli,squad", "--seeds", "1", "--controls", "baseline,single"]
    return [sys.executable, "src/sweep.py", "run", *fixed, *sets, *more]


@pytest.fixture(scope="module")
def twins(tmp_path_factory) -> tuple[Project, Project]:
    return tuple(clone(tmp_path_factory.mktemp(name) / "stiltwalk") for name in ("straight", "killed"))  # type: ignore[return-value]


@pytest.mark.slow
def test_a_killed_sweep_resumes_to_the_same_results(twins):
    straight, killed = twins
    output = straight.run(*command("--jobs", "2"))
    assert "5 experiments finished (0 had finished before); steps trained: 4, each once" in output
    assert "all 5 experiments had finished before" in straight.run(*command("--jobs", "2"))
    assert "8 finished\nsteps trained: 4, each once" in straight.run(sys.executable, "src/sweep.py", "status")
    assert straight.run("git", "status", "--porcelain") == ""

    rng, hit = random.Random(0), 0
    for last in (False, False, False, False, True):
        process = subprocess.Popen(
            command("--jobs", "2"),
            cwd=killed.folder,
            env=killed.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(rng.uniform(4, 16))
        while last and process.poll() is None and not killed.run("git", "for-each-ref", "refs/exps"):
            time.sleep(0.2)
        hit += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    output = killed.run(*command("--jobs", "1"))
    assert hit and "(0 had finished before)" not in output
    for project in twins:
        project.run(sys.executable, "src/compare.py")
    one, other = ((project.folder / "metrics/order_effects.json").read_bytes() for project in twins)
    assert one == other
    study = json.loads(one)
    assert study["design"]["runs"] == 5 and study["design"]["cells"] == {"present": 5, "expected": 5}
    assert (straight.folder / "report/index.html").is_file()


def compared_scores(project: Project) -> str:
    """The scores of all experiments of a project, as its report has them, after running those that are left."""
    project.run(*command("--jobs", "2"))
    project.run(sys.executable, "src/compare.py")
    return (project.folder / "report/scores.csv").read_text()


@pytest.mark.slow
def test_three_slurm_nodes_give_the_scores_of_one_machine(twins, tmp_path, warm_stages):
    """Although one of them is lost in the middle of a task."""
    with slurm_cluster() as cluster:
        project = clone(tmp_path / "stiltwalk")
        project.environment |= cluster.environment | warm_stages | {"STILTWALK_SCRATCH": str(tmp_path / "scratch")}
        submit = command("--engine", "slurm", "--options", "--time=60")
        assert "8 of 8 tasks submitted" in project.run(*submit)
        assert "0 of 8 tasks submitted" in project.run(*submit)  # another launcher finds them

        def stages() -> list[str]:
            return [
                json.loads(path.read_text())["stage"]
                for path in project.folder.glob(".dvc/tmp/sweep/*/attempts/step-*.json")
            ]

        wait_until(lambda: cluster.node_of("step-mnli-s1") and stages(), 200)
        cluster.kill(cluster.node_of("step-mnli-s1"))
        wait_until(lambda: not cluster.end_hold() and not cluster.run("squeue", "-h"), 400)
        status = project.run(sys.executable, "src/sweep.py", "status")
        assert "8 finished" in status and "steps trained: 4, each once" in status
        assert len(stages()) == 3  # the lost attempt is one of them
    assert "all 5 experiments had finished before" in project.run(*command())
    assert compared_scores(project) == compared_scores(twins[0])


@pytest.mark.slow
def test_dask_workers_without_a_common_folder_give_the_scores_of_one_machine(twins, tmp_path, warm_stages):
    project = clone(tmp_path / "stiltwalk")
    with s3_server(tmp_path / "s3") as remote, dask_cluster(tmp_path / "dask", 2, warm_stages) as (address, _):
        project.run("dvc", "remote", "add", "--local", "away", remote.pop("url"))
        for name, value in remote.items():
            project.run("dvc", "remote", "modify", "--local", "away", name, value)
        run = command("--engine", "dask", "--scheduler", address, "--remote", "away")
        with subprocess.Popen(run, cwd=project.folder, env=project.environment, stderr=subprocess.PIPE) as first:
            wait_until(lambda: any(project.folder.glob(".dvc/tmp/sweep/*/sweep.json")), 120)
            wait_until(lambda: any((tmp_path / "dask").glob("*/scratch/0")), 120)
            first.send_signal(signal.SIGINT)
            assert b"detached; the tasks go on" in first.communicate()[1]
        output = project.run(*run)
        assert "5 experiments finished (0 had finished before); steps trained: 4, each once" in output
    assert not (project.folder / ".dvc/cache/files").exists()  # nothing ran here
    assert "all 5 experiments had finished before" in project.run(*command())
    assert compared_scores(project) == compared_scores(twins[0])


@pytest.mark.slow
def test_failed_experiments_are_reported_and_the_others_run(twins):
    straight, _ = twins
    changed = straight.folder / "src/stiltwalk/tasks/qa/head/task.py"
    changed.write_text("raise RuntimeError('no answers')\n" + changed.read_text())
    output = straight.run(*command(), code=1)
    assert "src/stiltwalk/tasks/qa/head/task.py is not committed; a sweep runs what Git has: commit first" in output
    straight.run("git", "commit", "-qam", "broken", "--no-verify")
    output = straight.run(*command("--name", "broken"), code=1)
    assert re.search(r"failed: broken\.step-squad-s1: ERROR: failed to reproduce 'intermediate@1-squad'", output)
    assert (
        "2 experiments finished (0 had finished before)" in output
        and "3 experiments did not finish, because of: broken.step-squad-s1" in output
    )
    names = straight.run("dvc", "exp", "list", "--name-only").split()
    assert {"broken.none-s1", "broken.mnli-s1"} == set(names)
    straight.run("git", "reset", "-q", "--hard", "HEAD~1")


@pytest.mark.slow
def test_two_sweeps_cannot_run_at_once(twins):
    straight, _ = twins
    environment = os.environ | straight.environment
    first = subprocess.Popen(
        command("--name", "first"),
        cwd=straight.folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    wait_until(lambda: any(straight.folder.glob(".dvc/tmp/sweep/first.*/first.shared.log")), 120)
    output = straight.run(*command("--name", "second"), code=1)
    assert "another sweep runs in" in output
    straight.run(sys.executable, "src/sweep.py", "stop", "--name", "first")
    _, error = first.communicate(timeout=60)
    assert b"stopped; the same command resumes the sweep" in error and first.returncode == 1
