"""What a whole experiment spends on training and prediction, on its data, and on everything else."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from workers import ROOT

COMPUTE_SECONDS = re.compile(r"(?:trained|predicted [^:]+) in ([\d.]+) s")
"""What stages print about their computation; `pretrained in` counts too."""
DATA_SECONDS = re.compile(r"drew [\d,]+ documents in ([\d.]+) s")
"""What the encoder's stage prints about the text that it generates."""
DATA_STAGES = ("data", "xtreme")


@dataclass(frozen=True)
class ExperimentTime:
    """Seconds of an experiment, and the number of stages that ran.

    compute: training and prediction. data: making and tokenising rows, and the text that the encoder is pretrained on.
    wall: the whole experiment.
    """

    compute: float
    data: float
    stages: int
    wall: float

    @property
    def overhead(self) -> float:
        """Seconds that are neither computation nor data."""
        return self.wall - self.compute - self.data


def measure_experiment() -> ExperimentTime:
    """Run `dvc repro` in a fresh clone of this repository's last commit, with an empty cache."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # the clone has its code
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        start = time.perf_counter()
        run = subprocess.Popen(
            [sys.executable, "src/warm.py", "dvc", "repro"],
            cwd=folder,
            env=environment | {"TQDM_DISABLE": "1", "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert run.stdout
        lines = [(time.perf_counter() - start, line) for line in run.stdout]
        if run.wait():
            sys.exit(f"error: dvc repro failed: {''.join(line for _, line in lines[-3:]).strip()}")
        return divide_time(lines, time.perf_counter() - start)


def divide_time(lines: Iterable[tuple[float, str]], wall: float) -> ExperimentTime:
    """Divide the seconds of an experiment by what it printed.

    lines: every line, with the seconds since the start at which it was printed. wall: seconds of the experiment.
    """
    compute = data = 0.0
    stage, last_line, stages = "", 0.0, 0
    for moment, line in lines:
        compute += sum(map(float, COMPUTE_SECONDS.findall(line)))
        data += sum(map(float, DATA_SECONDS.findall(line)))
        if match := re.match(r"Running stage '([^'@]+)", line):
            stage, stages = match[1], stages + 1
        elif line.startswith("> "):
            last_line = moment
        elif not line.strip() or line.startswith(("Generating lock file", "Updating lock file")):
            stage = ""  # what follows is not printed by the stage
        elif stage in DATA_STAGES:
            data, last_line = data + moment - last_line, moment
    return ExperimentTime(compute, data, stages, wall)
