"""A toy graph of tasks on a real Slurm: a lost node, preemption, a failing step, and a second launcher."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusters import Slurm, slurm_cluster, wait_until
from stiltwalk.sweep.engines.slurm import SlurmEngine
from stiltwalk.sweep.graph import Part, Task
from stiltwalk.sweep.launch import dvc_config
from stiltwalk.sweep.progress import finished_names
from stiltwalk.sweep.records import Job, SweepRecord, TaskRecord, count_trainings, find_states, read_attempts

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
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as cluster:
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

    def states() -> dict[str, str]:
        records = {task.name: TaskRecord(list(task.after), task.experiment, 1.0) for task in tasks}
        record = SweepRecord(jobs[0].commit, "slurm", {}, {}, records)
        finished = finished_names(repository, jobs[0].commit)
        found = find_states(record, read_attempts(folder / "attempts"), finished, engine().states())
        return {name: state.state for name, state in found.items()}

    assert engine().submit(tasks, jobs) == 7
    wait_until(lambda: cluster.node_of("step-a") and cluster.node_of("step-b"))
    assert engine().submit(tasks, jobs) <= 1  # only the step that has failed by now, if any
    wait_until(lambda: all(f"1-{name} starts" in (tmp_path / "log").read_text() for name in "ab"))
    preempted = cluster.node_of("step-b")
    cluster.kill(cluster.node_of("step-a"))
    cluster.run("sbatch", "--partition=urgent", f"--nodelist={preempted}", "--wrap=sleep 3", "--output=/dev/null")
    wait_until(lambda: not cluster.end_hold() and {states()[name] for name in "ab"} == {"finished"}, 120)
    assert states()["step-c"] == "failed" and states()["c"] == "blocked"

    (tmp_path / "fail").unlink()
    left = [(task, job) for task, job in zip(tasks, jobs, strict=True) if task.name in ("step-c", "c")]
    assert engine().submit(*zip(*left, strict=True)) == 2
    wait_until(lambda: set(states().values()) == {"finished"}, 60)
    attempts = [attempt for group in read_attempts(folder / "attempts").values() for attempt in group]
    assert count_trainings(attempt for attempt in attempts if attempt.ended) == {((name,), 1): 1 for name in "abc"}
    assert [attempt.task for attempt in attempts if not attempt.ended] == ["step-a"]  # on the lost node
    assert [attempt.task for attempt in attempts if attempt.terminated] == ["step-b"]
    starts = [line for line in (tmp_path / "log").read_text().splitlines() if line.startswith("1-b")]
    assert starts[0] == "1-b starts at 0" and len(starts) == 2 and starts[1] != starts[0]  # it resumed
