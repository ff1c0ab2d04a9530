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
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from laboratory import TINY, Project, clone
from stiltwalk.sweep.cost import START_SECONDS, Speed, estimate_cost, schedule, wall_seconds
from stiltwalk.sweep.experiments import completed_stages
from stiltwalk.sweep.plan import Sweep
from stiltwalk.sweep.runner import Runner, refuse_uncommitted_changes
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
    names = {plan.name(order, seed) for seed, orders in plan.groups for order in orders}
    assert len(names) == 14 and {"none-s1", "mnli-squad-s2", "mnli+squad-s1", "null-s2"} <= names
    composed = plan.params_of(("squad", "mnli"), 2)
    assert composed["order"] == ["squad", "mnli"] and list(composed["plan"]["steps"]) == ["1-squad", "2-mnli"]
    assert composed["seed"] == 2


def test_groups_of_orders_share_no_training(plan):
    trained = [
        {(order[:count], seed) for order in orders for count in range(1, len(order) + 1)}
        for seed, orders in plan.groups
    ]
    assert sum(map(len, trained)) == len(set().union(*trained)) == plan.trainings


def test_groups_run_seed_by_seed_with_the_longest_of_a_seed_first(plan):
    cost: Any = SimpleNamespace(of_group=lambda group: len(group[1]))
    scheduled = schedule(plan.groups, cost)
    assert [seed for seed, _ in scheduled] == sorted(seed for seed, _ in plan.groups)
    assert [len(orders) for seed, orders in scheduled if seed == 2] == [2, 2, 1, 1, 1]
    assert sorted(scheduled) == sorted(plan.groups)


@pytest.mark.parametrize(
    ("devices", "jobs", "third"),
    [
        *[("0,1,2,3,4,5,6,7", 4, "4,5"), ("0,1,2,3,4", 4, "2"), ("0,1", 4, "0"), ("5", 1, "5"), ("", 4, "")],
        *[(None, 3, "2"), (None, 1, None)],
    ],
)
def test_jobs_get_equal_shares_of_the_gpus(plan, devices, jobs, third, tmp_path, monkeypatch):
    cost: Any = SimpleNamespace(total=0.0)
    if devices is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        (tmp_path / "nvidia-smi").write_text(
            "#!/bin/sh\nprintf 'GPU 0: H100 (UUID: x)\\n  MIG 1g Device 0: (UUID: y)\\nGPU 1: H100\\nGPU 2: H100\\n'\n"
        )
        (tmp_path / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    environment = Runner(plan, cost, jobs, tmp_path)._environment(tmp_path / "2")
    assert environment.get("CUDA_VISIBLE_DEVICES") == third


def test_every_stage_of_a_sweep_is_counted_once(plan):
    keys = [stage.key for seed, orders in plan.groups for order in orders for stage in stages_of(plan, order, seed)]
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
    cost = estimate_cost(plan)
    alone, two = (wall_seconds(plan, cost, jobs) for jobs in (1, 2))
    assert alone == pytest.approx(cost.total) and alone / 2 < two < alone


def test_the_cost_of_an_unfinished_sweep_is_what_is_left(plan, monkeypatch):
    monkeypatch.setattr(Speed, "seconds", lambda *_: (100.0, True))
    monkeypatch.setattr("stiltwalk.sweep.cost.completed_stages", lambda *_: set())  # whatever lies in this working tree
    whole, left = estimate_cost(plan), estimate_cost(plan, {(order, 1) for order in plan.orders})
    assert left.shared == 0 < whole.shared  # of another seed, all data are there
    assert all((cost == 0) == (seed == 1) for (_, seed), cost in left.experiments.items())
    one = estimate_cost(plan, {(("mnli",), 1)})
    assert (
        0 < one.shared < whole.shared
        and one.experiments[("mnli", "squad"), 1] == whole.experiments[("mnli", "squad"), 1]
    )
    assert all(cost.total == pytest.approx(wall_seconds(plan, cost, 1)) for cost in (whole, left, one))


def test_encoder_and_data_are_made_once_before_all_experiments(plan):
    names = [stage.dvc_name for _, stages in stages_to_share(plan, set()) for stage in stages]
    assert len(names) == len(set(names))
    assert {"encoder", "data@mnli", "data@squad", "data@mnli+squad", "data@null", "xtreme@tatoeba"} < set(names)
    left = {stage.dvc_name for _, stages in stages_to_share(plan, {(("mnli", "squad"), 2)}) for stage in stages}
    assert left == {"data@mnli+squad", "data@null"}


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
    assert "steps: trained 4, reused 2" in output  # 4 distinct steps of 6
    again = straight.run(*command("--jobs", "2"))
    assert "0 experiments finished (5 had finished before); steps: trained 0, reused 0" in again
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


@pytest.mark.slow
def test_failed_experiments_are_reported_and_the_others_run(twins):
    straight, _ = twins
    changed = straight.folder / "src/stiltwalk/tasks/qa/head/task.py"
    changed.write_text("raise RuntimeError('no answers')\n" + changed.read_text())
    output = straight.run(*command(), code=1)
    assert "src/stiltwalk/tasks/qa/head/task.py is not committed; a sweep runs what Git has: commit first" in output
    straight.run("git", "commit", "-qam", "broken", "--no-verify")
    output = straight.run(*command("--name", "broken"), code=1)
    assert re.search(r"failed: broken\.squad-s1: ERROR: failed to reproduce 'intermediate@1-squad'", output)
    assert "2 experiments finished (0 had finished before)" in output and "3 experiments failed" in output
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
    log = straight.folder / ".dvc/tmp/sweep/first.shared-0.log"
    deadline = time.monotonic() + 120
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    output = straight.run(*command("--name", "second"), code=1)
    assert "another sweep runs in" in output
    first.terminate()
    _, error = first.communicate(timeout=60)
    assert b"stopped; the same command resumes the sweep" in error and first.returncode == 1
