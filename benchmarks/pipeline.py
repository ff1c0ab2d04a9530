"""What a whole experiment spends on training and prediction, on making its data, and on everything around them."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

SECONDS = re.compile(r"(?:trained|predicted \d+ languages from \S+) in ([\d.]+) s")  # what stages print
DATA = ("data", "encode", "xtreme", "encode_xtreme")


def experiment(*options: str) -> dict[str, float]:
    """Seconds of `dvc exp run` in a fresh clone of this repository's last commit, with an empty cache."""
    root = Path(__file__).parents[2]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", root, folder], check=True)
        start = time.perf_counter()
        run = subprocess.Popen(
            [sys.executable, "src/warm/run.py", "dvc", "exp", "run", *options],
            cwd=folder,
            env=environment | {"TQDM_DISABLE": "1", "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert run.stdout
        lines = [(time.perf_counter() - start, line) for line in run.stdout]
        if run.wait():
            sys.exit(f"error: dvc exp run failed: {''.join(line for _, line in lines[-3:]).strip()}")
        return shares(lines) | {"wall": time.perf_counter() - start}


def shares(lines: Iterable[tuple[float, str]]) -> dict[str, float]:
    """Of the printed lines, each with its time: seconds of training and prediction, and of making and encoding data."""
    found, stage, begun, stages = {"compute": 0.0, "data": 0.0}, "", 0.0, 0
    for moment, line in lines:
        found["compute"] += sum(float(seconds) for seconds in SECONDS.findall(line))
        if match := re.match(r"Running stage '([^'@]+)", line):
            stage, stages = match[1], stages + 1
        elif line.startswith("> "):
            begun = moment
        elif not line.strip() or line.startswith(("Generating lock file", "Updating lock file")):
            stage = ""  # the stage's own lines are over
        elif stage in DATA:
            found["data"], begun = found["data"] + moment - begun, moment
    return found | {"stages": stages}
