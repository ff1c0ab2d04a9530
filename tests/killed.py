"""The default run, killed again and again at random moments, against the committed one that was not.

    python tests/killed.py --kills 30

Each kill is SIGKILL to everything that the run has started, as when the machine dies. The same command then goes on.
Where a run comes to its end before so many kills, another begins anew. Prints a line a kill, and what came of it.
"""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import yaml

ROOT = Path(__file__).parent.parent
COMMAND = ["dvc", "exp", "run"]
RESULTS = ("metrics/summary.json", "metrics/cells.json")


def main(kills: int, seed: int, minutes: float, longest: float) -> None:
    draw, killed, stages, lost = random.Random(seed), 0, Counter[str](), 0
    print("kill  run  after  stage that ran                     then", flush=True)
    run = 0
    while killed < kills:
        run += 1
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "stiltwalk"
            subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
            environment = os.environ | {
                "STILTWALK_SAVE_MINUTES": str(minutes),
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "TQDM_DISABLE": "1",
            }
            while True:
                log = Path(place) / "log"
                after = draw.uniform(1, longest) if killed < kills else None
                started = time.monotonic()
                with log.open("w") as out:
                    process = subprocess.Popen(
                        COMMAND, cwd=folder, env=environment, stdout=out, stderr=out, start_new_session=True
                    )
                try:
                    code = process.wait(after)
                except subprocess.TimeoutExpired:
                    kill(process)
                    killed += 1
                    said = log.read_text()
                    stage = (re.findall(r"Running stage '(.+?)'", said) or ["(dvc before a stage)"])[-1]
                    resumed = re.findall(r"goes on after step .*", said)
                    stages[stage.split("@")[0]] += 1
                    seconds = time.monotonic() - started
                    print(f"{killed:4}  {run:3}  {seconds:4.0f} s  {stage:33}  {'; '.join(resumed)}", flush=True)
                    continue
                if code:
                    sys.exit(f"run {run} ended with {code}: {log.read_text()[-2000:]}")
                break
            wrong = differences(folder)
            lost += len(wrong)
            print(
                f"run {run} came to its end: {', '.join(wrong) or 'every output and metric as committed'}", flush=True
            )
    print(
        f"{killed} kills ({', '.join(f'{name} {count}' for name, count in stages.most_common())}), {lost} results lost"
    )
    sys.exit(bool(lost))


def kill(process: subprocess.Popen) -> None:
    family = [process, *psutil.Process(process.pid).children(recursive=True)]
    for one in family:
        one.send_signal(signal.SIGKILL)
    process.wait()


def differences(folder: Path) -> list[str]:
    """What is not as in the committed run: outputs by their hashes, metrics in Git, states that were left."""
    found = [name for name in RESULTS if (folder / name).read_bytes() != (ROOT / name).read_bytes()]
    ours, theirs = (outs(place) for place in (folder, ROOT))
    found += [path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path)]
    states = folder / ".dvc/tmp/resume"
    return found + [str(path.name) for path in (states.iterdir() if states.is_dir() else ())]


def outs(folder: Path) -> dict[str, str]:
    lock = yaml.safe_load((folder / "dvc.lock").read_text())
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage.get("outs", [])}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=0.05, help="between saved states of a training")
    parser.add_argument("--longest", type=float, default=40, help="seconds until a kill, at most")
    told = parser.parse_args()
    main(told.kills, told.seed, told.minutes, told.longest)
