"""Real experiments through DVC, in a clone of this repository, on a small world."""

import json
import re
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import permutations
from pathlib import Path

import pytest

from laboratory import Project, clone, ran

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory, warm_commands):
    project = clone(tmp_path_factory.mktemp("laboratory") / "stiltwalk")
    project.environment |= warm_commands
    return project


def test_prefixes_are_trained_once(project):
    steps = ["mnli", "squad", "mnli+squad"]
    orders = list(permutations(steps))

    def trained(order: Sequence[str]) -> list[str]:
        last = f"intermediate@3-{order[-1]}"
        return ran(project.experiment(f"order=[{','.join(order)}]", "targets=[]", stage=last), "intermediate@")

    assert [len(trained(order)) for order in orders] == [3, 2, 3, 2, 3, 2]  # 3 + 6 + 6 distinct prefixes, not 6 x 3
    assert trained(orders[0]) == []


def test_an_order_is_scored_compared_and_plotted(project):
    first = project.experiment("order=[mnli,squad]")
    name = re.findall(r"Ran experiment\(s\): (\S+)", first)[0]
    assert "order: mnli -> squad" in first
    tasks = project.summary()["tasks"]
    assert tasks.keys() == {"xnli", "udpos", "xquad", "tatoeba"}
    assert tasks["xnli"].keys() == {"score", "english", "non_english", "gap", "leak"}
    assert tasks["udpos"].keys() == {"score", "english", "non_english", "gap"}
    assert "all_task" not in project.summary()

    second = project.experiment("order=[squad,mnli]")
    assert ran(second, "data@") == ran(second, "xtreme@") == ran(second, "encoder") == []
    difference = json.loads(project.run("dvc", "metrics", "diff", "--json", name))
    assert "tasks.xquad.score" in difference["metrics/summary.json"]
    changed = json.loads(project.run("dvc", "params", "diff", "--json", name))["params.yaml"]
    blocks = {key.removeprefix("plan.").split(".")[0] for key in changed}
    assert blocks == {"order", "steps", "final", "trajectory"}
    project.run("dvc", "plots", "show", "--out", "plots")
    page = (project.folder / "plots/index.html").read_text()
    for data in ("metrics/languages/xnli.csv", "metrics/curves/1-squad/train/loss.tsv"):
        assert Path(data).name in page and Path(data).parts[-2] in page, data

    baseline = project.experiment("order=[]")
    assert ran(baseline, "intermediate@") == [] and "order: none" in baseline
    back = project.experiment("order=[mnli,squad]")
    assert ran(back) in ([], ["score"])


def test_experiments_are_compared_in_a_table_and_a_report(project):
    output = project.run(sys.executable, "src/compare.py", "--tasks", "mnli,squad")
    assert re.search(r"^workspace +mnli -> squad!? +42 ", output, re.M) and re.search(r" squad -> mnli!? +42 ", output)
    study = json.loads((project.folder / "metrics/order_effects.json").read_text())
    assert study["design"]["orders"] == [["mnli", "squad"], ["squad", "mnli"]] and [] in study["design"]["controls"]
    retention = (project.folder / "report/tables/retention.csv").read_text()
    assert '\n"squad,mnli",2-mnli,1-squad,' in retention
    page = (project.folder / "report/index.html").read_text()
    assert "the generated world" in page and "These experiments cannot yet tell whether order matters." in page


def test_evaluate_gives_the_predictions_the_scores_of_the_summary(project):
    text = project.run(sys.executable, "src/evaluate.py", "--labels", "data/labels", "--predictions", "predictions")
    scores = json.loads(text[: text.rindex("}") + 1])
    tasks = project.summary()["tasks"]
    assert scores["xnli"]["avg_accuracy"] == tasks["xnli"]["score"]
    assert (scores["xquad"]["avg_exact_match"] + scores["xquad"]["avg_f1"]) / 2 == tasks["xquad"]["score"]


def test_a_repeated_run_gives_the_same_bytes(project):
    """The first run starts its stages warm, the second does not."""
    stages = ("encoder", "intermediate@1-mnli", "target@xquad")
    outs = project.outs(*stages)
    cold = Project(project.folder)
    cold.environment = {name: value for name, value in project.environment.items() if name != "STILTWALK_WARM"}
    cold.run("dvc", "repro", "--force", "--single-item", *stages)
    assert project.outs(*stages) == outs


def wait_for_queue(project: Project, names: Iterable[str]) -> str:
    """The status of the queue once it has nothing to do. A look at it takes seconds of a core, one at Git none."""
    deadline = time.monotonic() + 400
    while re.search("Queued|Running", status := project.run("dvc", "queue", "status")):
        assert time.monotonic() < deadline, status
        for _ in range(20):
            refs = project.run("git", "for-each-ref", "refs/exps", "--format=%(refname)").split()
            if {ref.split("/")[-1] for ref in refs} >= set(names):
                break
            time.sleep(0.5)
    return status


def test_queued_experiments_equal_those_of_the_workspace(project):
    orders = {"two-steps": "mnli,squad", "one-step": "squad"}
    for name, order in orders.items():
        project.experiment(f"order=[{order}]", "targets=[udpos]", "seed=7", queue=True, name=name)
    project.run("dvc", "queue", "start")
    status = wait_for_queue(project, orders)
    assert status.count("Success") == 2, status
    queued = [project.summary(name) for name in re.findall(r"^\w{7}\s+(\S+)\s", status, re.M)]
    assert len(queued) == 2
    shutil.rmtree(project.folder / ".dvc/cache/runs")  # otherwise the workspace would reuse what the queue computed
    for order in orders.values():
        output = project.experiment(f"order=[{order}]", "targets=[udpos]", "seed=7")
        assert "target@udpos" in ran(output) and project.summary() in queued
    assert queued[0] != queued[1]


def test_a_bad_order_changes_nothing(project):
    before = project.run("git", "status", "--porcelain"), project.summary()
    output = project.run("dvc", "exp", "run", "-S", "order=[mnli,sqaud]", code=1)
    assert output.startswith(
        "error: order has the unknown task 'sqaud' in its step 'sqaud'; the tasks are anli_plus, ccg, "
    )
    assert output.count("\n") == 1
    assert (project.run("git", "status", "--porcelain"), project.summary()) == before


def test_a_clone_with_a_filled_remote_runs_nothing(project):
    project.run("dvc", "push", "--run-cache")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "an order")
    colleague = project.folder.parent / "colleague"
    project.run("git", "clone", "-q", str(project.folder), str(colleague))
    other = Project(colleague)
    other.run("dvc", "pull")
    assert ran(other.run("dvc", "repro")) == []
    assert other.summary() == project.summary()


def test_every_task_is_trained_and_scored(project):
    """All nine intermediate tasks at once, the controls, and all nine targets."""
    nine = "anli_plus+mnli+qqp+squad+squad2+hellaswag+ccg+cosmosqa+commonsenseqa"
    order = f"[{nine},null,mnli+mlm,tli]"
    targets = "[xnli,pawsx,udpos,panx,xquad,mlqa,tydiqa,bucc,tatoeba]"
    project.experiment(f"order={order}", f"targets={targets}", "sample.train=32")
    summary = project.summary()
    assert {"all_task", "classification", "tagging", "qa", "retrieval"} <= summary.keys()
    assert len(summary["tasks"]) == 9
    leaks = {target: scores["leak"] for target, scores in summary["tasks"].items() if "leak" in scores}
    assert leaks == {"xnli": "anli_plus+mnli", "xquad": "squad+squad2", "mlqa": "squad+squad2"}
    trajectory = (project.folder / "metrics/probes/trajectory/4-tli.csv").read_text().split()
    assert trajectory[0] == "step,layer,score" and len(trajectory) == 5  # the embeddings and three layers
    steps = json.loads((project.folder / "metrics/cells.json").read_text())["steps"]
    assert list(steps) == ["0-encoder", f"1-{nine}", "2-null", "3-mnli+mlm", "4-tli"]
    kept = steps["4-tli"]["retention"]
    assert list(kept) == list(steps)[1:] and list(kept[f"1-{nine}"]) == sorted(nine.split("+"))
    for step in kept:  # the retention probe of a step agrees with its own validation
        output = json.loads((project.folder / f"metrics/steps/{step}/scores.json").read_text())
        assert steps[step]["flags"] == output.pop("flags", {}), step
        assert steps[step]["retention"][step] == output, step
    assert "2-null null" in summary["flags"]  # there is nothing to learn from shuffled labels
    cosines = {
        path.stem: path.read_text().split() for path in (project.folder / "metrics/steps/4-tli/cosines").glob("*.csv")
    }
    assert cosines.keys() == {"seen-before", "seen-after", "unseen-before", "unseen-after"}
    assert cosines["seen-after"] != cosines["seen-before"]
