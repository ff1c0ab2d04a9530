"""A toy graph of tasks on a real Slurm: a lost node, preemption, a failing step, and a second launcher."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stiltwalk
from clusters import Slurm, dask_cluster, slurm_cluster, wait_until
from stiltwalk.sweep.engines import dask, slurm
from stiltwalk.sweep.engines.dask import DaskEngine
from stiltwalk.sweep.engines.slurm import SlurmEngine
from stiltwalk.sweep.graph import Part, Task
from stiltwalk.sweep.launch import dvc_config
from stiltwalk.sweep.progress import finished_names
from stiltwalk.sweep.records import (
    CODE,
    Attempt,
    Job,
    SweepRecord,
    TaskRecord,
    count_trainings,
    find_states,
    read_attempts,
)
from stiltwalk.utils.errors import InputError

TOY = """import os, signal, sys, time
from pathlib import Path
name, shared = sys.argv[1], Path(open("place.txt").read())
state = Path(os.environ["STILTWALK_RESUME"]) / name
done = int(state.read_text()) if state.exists() else 0
with (shared / "log").open("a") as log:
    log.write(f"{name} starts at {done}\\n")
def save(*_):
    state.parent.mkdir(exist_ok=True, parents=True)
    state.write_text(str(done))
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
if name == "1-c" and (shared / "fail").exists():
    sys.exit("step c fails")
while done < (120 if name in ("1-a", "1-b") else 1):
    time.sleep(0.1)
    done += 1
Path(f"{name}.txt").write_text(name)
"""
STAGES = """stages:
  encoder:
    cmd: exec python toy.py 0-encoder
    deps: [toy.py]
    outs: [0-encoder.txt]
  intermediate:
    foreach: [1-a, 1-b, 1-c]
    do:
      cmd: exec python toy.py ${item}
      deps: [0-encoder.txt]
      outs: ['${item}.txt']
  target:
    foreach: [a, b, c]
    do:
      cmd: exec python toy.py 2-${item}
      deps: ['1-${item}.txt']
      outs: ['2-${item}.txt']
"""


@pytest.fixture
def cluster() -> Iterator[Slurm]:
    with slurm_cluster() as cluster:
        yield cluster


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A DVC project with the stages of three toy orders of one step."""
    folder = tmp_path / "toy project"  # a blank in a path must do no harm
    (folder / "src").mkdir(parents=True)
    (folder / "toy.py").write_text(TOY)
    (folder / "dvc.yaml").write_text(STAGES)
    (folder / "place.txt").write_text(str(tmp_path))
    (folder / "src/warm.py").write_text("import os, sys\\nos.execvp(sys.argv[1], sys.argv[1:])\\n".replace("\\n", "\n"))
    dvc = str(Path(sys.executable).with_name("dvc"))
    for command in (
        ["git", "init", "-q"],
        ["git", "config", "user.name", "toy"],
        ["git", "config", "user.email", "toy@localhost"],
        [dvc, "init", "-q"],
        ["git", "add", "-A"],
        ["git", "commit", "-qm", "toy"],
    ):
        subprocess.run(command, cwd=folder, check=True)
    return folder


def make_tasks() -> list[Task]:
    """The shared stages, three steps, and two experiments for each step."""
    none = (Part((), 1, ()),)
    steps = [Task(f"step-{name}", ("shared",), none) for name in "abc"]
    return [Task("shared", (), none), *steps, *(Task(name, (f"step-{name}",), none, name) for name in "abc")]


def make_job(task: Task, repository: Path, folder: Path) -> Job:
    name = task.name[-1]
    commands = {"shared": ["encoder"], f"step-{name}": [f"intermediate@1-{name}"], name: ["-n", name, f"target@{name}"]}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True).stdout.strip()
    bundle = folder / "code.bundle"
    if not bundle.exists():
        subprocess.run(["git", "bundle", "create", "-q", str(bundle), "HEAD"], cwd=repository, check=True)
    return Job(
        task=task.name,
        order=[name],
        seed=1,
        experiment=task.experiment,
        commands=[commands[task.name]],
        commit=commit,
        bundle=str(bundle),
        attempts=str(folder / "attempts"),
        dvc_config=dvc_config(repository, ""),
        identity={"user.name": "toy", "user.email": "toy@localhost"},
        repository=str(repository),
        scratch=str(folder / "clones"),
        resume=str(folder / "resume"),
        requeue=True,
    )


@pytest.mark.slow
def test_a_sweep_survives_lost_nodes_preemption_failures_and_its_launcher(cluster, repository, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    folder = tmp_path / "sweep"
    (folder / "attempts").mkdir(parents=True)
    (tmp_path / "fail").touch()
    tasks = make_tasks()
    jobs = [make_job(task, repository, folder) for task in tasks]

    def engine() -> SlurmEngine:  # each call is another launcher
        return SlurmEngine("toy/", folder, "--time=10", "", 0)

    (folder / "code").mkdir()
    (folder / CODE).symlink_to(Path(stiltwalk.__file__).parents[1])

    def states() -> dict[str, str]:
        records = {task.name: TaskRecord(list(task.after), task.experiment, 1.0) for task in tasks}
        record = SweepRecord(jobs[0].commit, "slurm", {}, {}, records)
        finished = finished_names(repository, jobs[0].commit)
        found = find_states(record, read_attempts(folder / "attempts"), finished, engine().states())
        return {name: state.state for name, state in found.items()}

    def submit() -> int:
        states_now = states()
        left = [pair for pair in zip(tasks, jobs, strict=True) if states_now[pair[0].name] != "finished"]
        return engine().submit(*zip(*left, strict=True))

    assert submit() == 7
    wait_until(lambda: cluster.node_of("step-a") and cluster.node_of("step-b"))
    assert submit() in (0, 2)  # only the step that fails, once it has, and the task that needs it
    wait_until(lambda: all(f"1-{name} starts" in (tmp_path / "log").read_text() for name in "ab"))
    preempted = cluster.node_of("step-b")
    cluster.kill(cluster.node_of("step-a"))
    cluster.run("sbatch", "--partition=urgent", f"--nodelist={preempted}", "--wrap=sleep 3", "--output=/dev/null")
    wait_until(lambda: not cluster.end_hold() and {states()[name] for name in "ab"} == {"finished"}, 120)
    assert states()["step-c"] == "failed" and states()["c"] == "blocked"

    (tmp_path / "fail").unlink()
    assert submit() == 2
    wait_until(lambda: set(states().values()) == {"finished"}, 60)
    attempts = [attempt for group in read_attempts(folder / "attempts").values() for attempt in group]
    assert count_trainings(attempt for attempt in attempts if attempt.ended) == {((name,), 1): 1 for name in "abc"}
    assert [attempt.task for attempt in attempts if not attempt.ended] == ["step-a"]  # on the lost node
    assert [attempt.task for attempt in attempts if attempt.terminated] == ["step-b"]
    starts = [line for line in (tmp_path / "log").read_text().splitlines() if line.startswith("1-b")]
    assert starts[0] == "1-b starts at 0" and len(starts) == 2 and starts[1] != starts[0]  # it resumed


def fake_slurm(monkeypatch: pytest.MonkeyPatch, jobs: dict[str, tuple[str, str]]) -> list[list[str]]:
    """Stand in for Slurm's programs; returns the calls. jobs: number and state by task."""
    calls: list[list[str]] = []

    def run(program: str, *arguments: str, stdin: str = "") -> str:
        calls.append([program, *arguments])
        if program == "squeue":
            return "".join(f"{number}|{state}||toy/{task}\n" for task, (number, state) in jobs.items())
        return f"{100 + len(calls)}\n"

    monkeypatch.setattr(slurm, "_run", run)
    monkeypatch.setattr(slurm.shutil, "which", lambda _: "sbatch")
    return calls


def chain(*names: str) -> tuple[list[Task], list[Job]]:
    """Tasks, each after the one before it."""
    tasks = [Task(name, names[max(0, place - 1) : place], ()) for place, name in enumerate(names)]
    return tasks, [Job(name, [], 1, "", [], "", "", "", "", {}) for name in names]


def test_one_call_submits_again_what_failed_and_all_that_waits_for_it(monkeypatch, tmp_path):
    calls = fake_slurm(monkeypatch, {"b": ("7", "PENDING"), "c": ("8", "PENDING"), "d": ("9", "RUNNING")})
    tasks, jobs = chain("a", "b", "c", "d")  # a has failed
    assert SlurmEngine("toy/", tmp_path, "", "", 0).submit(tasks, jobs) == 3
    assert ["scancel", "--quiet", "7", "8"] in calls
    after = [word for call in calls if call[0] == "sbatch" for word in call if word.startswith("--dependency")]
    assert after == ["--dependency=afterok:103", "--dependency=afterok:104"]


def test_only_the_shared_task_gets_its_options_and_the_queue_its_limit(monkeypatch, tmp_path):
    calls = fake_slurm(monkeypatch, {"x": ("7", "RUNNING")})
    tasks = [Task("shared", (), (), is_shared=True), Task("a", (), ()), Task("b", (), ())]
    engine = SlurmEngine("toy/", tmp_path, "--gres=gpu:1 --comment='two words'", "--partition=cpu", 3)
    assert engine.submit(tasks, chain("shared", "a", "b")[1]) == 2
    shared, other = sorted(
        (call for call in calls if call[0] == "sbatch"), key=lambda call: "--partition=cpu" not in call
    )
    assert "--partition=cpu" in shared and "--comment=two words" in other and "--gres=gpu:1" in other
    with pytest.raises(InputError, match="--options or --shared-options: No closing quotation; close the quotation"):
        SlurmEngine("toy/", tmp_path, "'", "", 0)


def test_what_a_failed_or_lost_task_holds_up_is_blocked():
    attempts = {name: [Attempt(name, [], 1, begun=1.0, status=status)] for name, status in [("a", 1), ("lost", None)]}
    records = {"a": [], "b": ["a"], "c": ["b"], "lost": [], "d": ["lost"], "e": [], "f": ["e"]}
    record = SweepRecord("", "slurm", {}, {}, {name: TaskRecord(after, name, 1.0) for name, after in records.items()})
    live = {"b": "waiting", "c": "waiting", "f": "waiting"}
    states = {name: state.state for name, state in find_states(record, attempts, {"e"}, live).items()}
    assert list(states.values()) == ["failed", "blocked", "blocked", "lost", "blocked", "finished", "waiting"]


@pytest.mark.slow
def test_stop_ends_the_tasks_of_a_sweep_on_dask_and_another_launcher_finds_them(tmp_path, monkeypatch):
    def sleep(code: dict[str, bytes], version: str, job: dict[str, Any], *parents: dict[str, Any]) -> dict[str, Any]:
        import time

        time.sleep(4)
        return {"attempt": {"task": job["task"], "order": [], "seed": 1, "status": 0, "ended": 1.0}, "files": {}}

    monkeypatch.setattr(dask, "run_task", sleep)
    (tmp_path / "bundle").touch()
    (tmp_path / "attempts").mkdir()
    tasks, _ = chain("a", "b", "c")
    jobs = [Job(task.name, [], 1, "", [], "", str(tmp_path / "bundle"), "", "", {}) for task in tasks]
    with dask_cluster(tmp_path / "dask", 1) as (address, _):
        first = DaskEngine("toy:", tmp_path, tmp_path / "attempts", address, 1)
        assert first.submit(tasks, jobs) == 3
        first.client.close()
        second = DaskEngine("toy:", tmp_path, tmp_path / "attempts", address, 1)
        assert second.submit(tasks, jobs) == 0
        wait_until(lambda: "a" not in second.states())
        second.cancel()
        time.sleep(6)
        third = DaskEngine("toy:", tmp_path, tmp_path / "attempts", address, 1)
        second.client.close()
        assert third.states() == {} and read_attempts(tmp_path / "attempts").keys() == {"a"}
        third.client.close()
