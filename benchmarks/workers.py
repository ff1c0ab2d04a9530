"""Measurements in separate processes, so that peak memory and torch's settings belong to one method alone."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from rows import RowsName
from stiltwalk.training.settings import Precision
from stiltwalk.utils.process import THREAD_WAITING

ROOT = Path(__file__).parents[1]
MEASURE = ROOT / "benchmarks" / "measure.py"
PEERS = ("trainer max length", "trainer dynamic", "trainer by length", "padded")
"""Methods that Stiltwalk is compared with."""

Measurement: TypeAlias = dict[str, Any]
"""One measurement, as in bench.json: tokens, wall and cpu (seconds), tokens_per_s, peak_bytes, and others of mining."""


@dataclass(frozen=True)
class Request:
    """What measure.py is to measure. A request reaches its process as JSON."""

    method: str
    """A key of `measure.METHODS`."""
    width: int = 384
    """Of hidden states, or of the vectors to search."""
    precision: Precision = "no"
    steps: int = 0
    """Batches of 32 rows."""
    rows: RowsName = "nli"
    file: str = ""
    """The tokenised rows."""
    seed: int = 0
    graphs: bool = True
    """Whether CUDA graphs are recorded, on a GPU."""
    queries: int = 0
    """Vectors to search neighbours of."""
    faiss_only: bool = False

    def to_json(self) -> str:
        """Return the request on one line."""
        return json.dumps(asdict(self))


class Worker:
    """A process that answers one request after the other. Its first answer says that it is ready.

    A GPU needs such processes, because its kernels take long to load. On a CPU they would keep too much memory.
    """

    def __init__(self, name: str, method: str) -> None:
        self.name, self.stderr = name, tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, str(MEASURE)],
            env=environment_for(method),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            text=True,
        )

    def send(self, request: Request) -> None:
        """Send a request without waiting for the answer."""
        assert self.process.stdin
        print(request.to_json(), file=self.process.stdin, flush=True)

    def receive(self) -> Measurement:
        """Wait for the next answer; end the program if the process has died."""
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith('{"'):
                answer: Measurement = json.loads(line)
                return answer
        self.stderr.seek(0)
        fail(self.name, self.stderr.read(), self.process.wait())

    def end(self) -> None:
        """End the process."""
        self.process.communicate()
        self.stderr.close()


def measure_once(
    request: Request,
    variables: Mapping[str, str] | None = None,
    timeout: float | None = None,
    launcher: Sequence[str] = (),
) -> Measurement:
    """Measure once, in a new process.

    variables: environment variables to add. timeout: seconds. launcher: starts measure.py in place of Python.
    """
    done = subprocess.run(
        [*(launcher or (sys.executable,)), str(MEASURE), request.to_json()],
        env=environment_for(request.method) | dict(variables or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if done.returncode:
        fail(request.method, done.stderr, done.returncode)
    measurement: Measurement = json.loads(done.stdout.splitlines()[-1])
    return measurement


def environment_for(method: str) -> dict[str, str]:
    """Return the environment of a measuring process.

    The threads of Stiltwalk wait as they do in its stages. Those of other methods wait as they do by default.
    """
    if method in PEERS:
        environment = {name: value for name, value in os.environ.items() if name not in THREAD_WAITING}
    else:
        environment = THREAD_WAITING | os.environ
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return environment | {"PYTHONPATH": os.pathsep.join(paths), "TQDM_DISABLE": "1"}


def fail(name: str, stderr: str, status: int) -> NoReturn:
    """End the program and say why a measurement failed.

    status: exit status of its process; negative if a signal ended the process.
    """
    if status < 0:
        why = f"killed by signal {-status}"
        why += ", perhaps because memory ran out" if status == -signal.SIGKILL else ""
    else:
        why = (stderr.strip().splitlines() or [f"exit status {status}"])[-1]
    sys.exit(f"error: {name} failed: {why}")
