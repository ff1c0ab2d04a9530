"""The default run, killed again and again at random moments, against the committed one that was not.

    python tests/killed.py --kills 30

Each kill sends SIGKILL to every process of the run, as when the machine dies. The same command then resumes it.
Where a run comes to its end before so many kills, another begins anew. Prints a line a kill, and what came of it.
"""

import argparse
import random
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import psutil

from laboratory import ROOT, Project, clone

COMMAND = ["dvc", "exp", "run"]
RESULTS = ("metrics/summary.json", "metrics/cells.json")


def main(kills: int, seed: int, minutes: float, longest: float) -> None:
    draw, killed, runs, lost, stages = random.Random(seed), 0, 0, 0, Counter[str]()
    print("kill  run  after  stage that ran                     then", flush=True)
    while killed < kills:
        runs += 1
        with tempfile.TemporaryDirectory() as place:
            project, log = clone(Path(place) / "stiltwalk", locked=None), Path(place) / "log"
            project.environment |= {"STILTWALK_SAVE_MINUTES": str(minutes), "TQDM_DISABLE": "1"}
            while not run(project, log, after := draw.uniform(1, longest) if killed < kills else None):
                killed += 1
                output = log.read_text()
                stage = (re.findall(r"Running stage '(.+?)'", output) or ["(dvc before a stage)"])[-1]
                stages[stage.split("@")[0]] += 1
                resumed = "; ".join(re.findall(r"resuming after step .*", output))
                print(f"{killed:4}  {runs:3}  {after:4.0f} s  {stage:33}  {resumed}", flush=True)
            wrong = differences(project)
        lost += len(wrong)
        print(f"run {runs} ended: {', '.join(wrong) or 'every output and metric as committed'}", flush=True)
    count = ", ".join(f"{name} {count}" for name, count in stages.most_common())
    print(f"{killed} kills ({count}), {lost} results lost")
    sys.exit(bool(lost))


def run(project: Project, log: Path, after: float | None) -> bool:
    """Whether the command came to its end, and was not killed after so many seconds."""
    with log.open("w") as out:
        process = subprocess.Popen(
            COMMAND, cwd=project.folder, env=project.environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        code = process.wait(after)
    except subprocess.TimeoutExpired:
        kill(process)
        return False
    if code:
        sys.exit(f"it ended with {code}: {log.read_text()[-2000:]}")
    return True


def kill(process: subprocess.Popen) -> None:
    family = [process, *psutil.Process(process.pid).children(recursive=True)]
    for one in family:
        one.send_signal(signal.SIGKILL)
    process.wait()


def differences(project: Project) -> list[str]:
    """What is not as in the committed run: outputs by their hashes, metrics in Git, states that were left."""
    committed = Project(ROOT)
    found = [name for name in RESULTS if (project.folder / name).read_bytes() != (ROOT / name).read_bytes()]
    ours, theirs = project.outs(), committed.outs()
    found += [path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path)]
    states = project.folder / ".dvc/tmp/resume"
    return found + [path.name for path in (states.iterdir() if states.is_dir() else ())]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=0.05, help="between saved states of a training")
    parser.add_argument("--longest", type=float, default=90, help="seconds until a kill, at most")
    arguments = parser.parse_args()
    main(arguments.kills, arguments.seed, arguments.minutes, arguments.longest)
