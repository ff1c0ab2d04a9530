"""Stages started warm: the same files, streams and exit status as without, and nothing is left behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from warm.run import warm

STAGE = """
import json, os, sys
from pathlib import Path
print(json.dumps([sys.argv, os.environ["TOLD"], str(Path.cwd()), "torch" in sys.modules, sys.path[0]]))
print("warning", file=sys.stderr)
if sys.argv[1] == "sleep":
    Path("begun").write_text(str(os.getpid()))
    import time
    time.sleep(60)
if sys.argv[1] == "raise":
    raise ValueError("no")
sys.exit({"ok": None, "three": 3, "said": "error: why"}[sys.argv[1]])
"""


@pytest.fixture
def stage(tmp_path: Path, warm_stages):
    """Runs the stage above, once warm and once not."""
    (tmp_path / "target.py").write_text(STAGE)

    def run(word: str, warmly: bool) -> subprocess.CompletedProcess:
        environment = os.environ | {"TOLD": word} | (warm_stages if warmly else {})
        command = [sys.executable, "target.py", word]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)

    return run


@pytest.mark.parametrize("word", ["ok", "three", "said", "raise"])
def test_a_stage_says_and_ends_alike(stage, word):
    warmly, plainly = stage(word, True), stage(word, False)
    assert '"target.py"' in warmly.stdout and ", true, " in warmly.stdout  # its libraries were there
    assert warmly.stdout.replace(", true, ", ", false, ") == plainly.stdout
    assert warmly.returncode == plainly.returncode == {"ok": 0, "three": 3, "said": 1, "raise": 1}[word]
    assert warmly.stderr.splitlines()[0] == "warning"
    assert warmly.stderr.splitlines()[-1] == plainly.stderr.splitlines()[-1]


def test_a_stage_ends_with_the_process_that_waits_for_it(tmp_path, warm_stages):
    (tmp_path / "target.py").write_text(STAGE)
    command = [sys.executable, "target.py", "sleep"]
    waiting = subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"TOLD": ""} | warm_stages, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    pid = int((tmp_path / "begun").read_text())
    assert pid != waiting.pid and psutil.pid_exists(pid)
    waiting.kill()
    waiting.wait()
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=5)
    assert not psutil.pid_exists(pid)


def test_without_the_server_a_stage_starts_by_itself(tmp_path):
    (tmp_path / "target.py").write_text(STAGE)
    with warm() as variables:
        pass
    environment = os.environ | {"TOLD": ""} | variables
    done = subprocess.run(
        [sys.executable, "target.py", "ok"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and ", false, " in done.stdout


def test_a_server_whose_command_is_killed_while_it_imports_ends():
    code = "from warm.run import warm\nwith warm() as found: print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent / "src")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as command:
        assert command.stdout and command.stdout.readline() == b"\n"
        (server,) = psutil.Process(command.pid).children()
        command.kill()
    _, alive = psutil.wait_procs([server], timeout=30)
    assert not alive
