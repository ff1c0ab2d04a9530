"""Stages that start warm: the same streams, exit status and threads as cold ones, and nothing is left behind."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from stiltwalk.utils.process import THREAD_WAITING, WARM_ADDRESS
from stiltwalk.warm import warm_stages as start_server

SOURCE = Path(__file__).parents[1] / "src"
STAGE = """
from stiltwalk.utils.process import THREAD_WAITING, prepare_stage
prepare_stage()
import gc, json, os, sys
from pathlib import Path
threads = [os.environ[name] for name in THREAD_WAITING]
print(json.dumps([sys.argv, os.environ["WORD"], str(Path.cwd()), "torch" in sys.modules, sys.path[0], threads]))
print(gc.isenabled(), "stiltwalk.warm" in sys.modules)
print("warning", file=sys.stderr)
if sys.argv[1] == "sleep":
    Path("begun").write_text(str(os.getpid()))
    import time
    time.sleep(60)
if sys.argv[1] == "raise":
    raise ValueError("no")
sys.exit({"ok": None, "three": 3, "message": "error: why"}[sys.argv[1]])
"""
SAVING_STAGE = """
from stiltwalk.utils.process import prepare_stage
prepare_stage()
import signal, sys, time
from pathlib import Path
def save(*_):
    time.sleep(2)
    Path("saved").touch()
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
Path("begun").touch()
time.sleep(60)
"""
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(variables: dict[str, str], word: str = "") -> dict[str, str]:
    """The environment of a stage; its threads wait as it chooses itself."""
    inherited = {name: value for name, value in os.environ.items() if name not in THREAD_WAITING}
    return inherited | {"PYTHONPATH": str(SOURCE), "WORD": word} | variables


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the stage in `tmp_path`, warm if it gets the variables of a server."""
    (tmp_path / "target.py").write_text(STAGE)

    def run(word: str, variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "target.py", word]
        return subprocess.run(
            command, cwd=tmp_path, env=environment(variables, word), capture_output=True, text=True, timeout=60
        )

    return run


def wait_for(path: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.05)


def test_a_stage_sets_how_its_threads_wait_unless_the_user_does(run):
    assert f", {list(THREAD_WAITING.values())}]".replace("'", '"') in run("ok", {}).stdout
    chosen = dict.fromkeys(THREAD_WAITING, "7")
    assert ', ["7", "7"]]' in run("ok", chosen).stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "from stiltwalk.utils.process import prepare_stage; prepare_stage(); import torch",
        "from stiltwalk.warm import import_libraries; import_libraries()",
    ],
    ids=["cold", "warm"],
)
def test_the_openmp_libraries_of_cold_and_warm_stages_read_the_same_settings(code):
    """GNU's library prints its settings when it is loaded."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment({"OMP_DISPLAY_ENV": "verbose"}),
        capture_output=True,
        text=True,
        check=True,
    )
    settings = re.findall(r"(OMP_WAIT_POLICY|GOMP_SPINCOUNT) = '(\w+)'", done.stderr)
    if not settings:
        pytest.skip("torch uses another OpenMP library here")
    assert {(name, value.lower()) for name, value in settings} == set(THREAD_WAITING.items())


@pytest.mark.slow
@pytest.mark.parametrize("word", ["ok", "three", "message", "raise"])
def test_a_warm_stage_has_the_streams_and_exit_status_of_a_cold_one(run, warm_stages, word):
    warm, cold = run(word, warm_stages), run(word, {})
    assert '"target.py"' in warm.stdout and ", true, " in warm.stdout  # its libraries were imported
    assert warm.stdout.replace(", true, ", ", false, ") == cold.stdout
    assert warm.returncode == cold.returncode == {"ok": 0, "three": 3, "message": 1, "raise": 1}[word]
    assert warm.stderr.splitlines()[0] == "warning"
    assert warm.stderr.splitlines()[-1] == cold.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_stage_ends_with_the_process_that_waits_for_it(tmp_path, warm_stages):
    (tmp_path / "target.py").write_text(STAGE)
    command = [sys.executable, "target.py", "sleep"]
    waiting = subprocess.Popen(command, cwd=tmp_path, env=environment(warm_stages), stdout=subprocess.DEVNULL)
    wait_for(tmp_path / "begun", 30)
    pid = int((tmp_path / "begun").read_text())
    assert pid != waiting.pid and psutil.pid_exists(pid)
    waiting.kill()
    waiting.wait()
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=5)
    assert not psutil.pid_exists(pid)


@pytest.mark.slow
def test_a_command_that_gets_sigterm_ends_after_its_stages(tmp_path):
    """A scheduler signals the command, or all processes; when the command has ended it kills what is left."""
    (tmp_path / "target.py").write_text(SAVING_STAGE)
    script = [sys.executable, str(SOURCE / "warm.py"), sys.executable, "target.py"]
    command = subprocess.Popen(script, cwd=tmp_path, env=environment({}))
    wait_for(tmp_path / "begun", 60)
    command.terminate()
    assert command.wait(timeout=30) != 0 and (tmp_path / "saved").exists()


@pytest.mark.slow
def test_without_the_server_a_stage_starts_by_itself(run):
    with start_server() as variables:
        pass
    done = run("ok", variables)
    assert done.returncode == 0 and ", false, " in done.stdout


@pytest.mark.slow
def test_a_client_that_ends_before_it_asks_leaves_the_server_running(run, warm_stages):
    for message in (b"", b"\0\0"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(warm_stages[WARM_ADDRESS])
            client.sendall(message)
    done = run("ok", warm_stages)
    assert done.returncode == 0 and ", true, " in done.stdout


@pytest.mark.slow
def test_a_server_ends_when_its_command_is_killed_while_it_imports():
    code = "from stiltwalk.warm import warm_stages\nwith warm_stages(): print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment({}), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as command:
        assert command.stdout and command.stdout.readline() == b"\n"
        (server,) = psutil.Process(command.pid).children()
        command.kill()
    _, alive = psutil.wait_procs([server], timeout=30)
    assert not alive


@pytest.mark.slow
def test_a_warm_stage_has_the_threads_that_its_environment_asks_for(tmp_path, warm_stages):
    prepare = "from stiltwalk.utils.process import prepare_stage\nprepare_stage()\n"
    (tmp_path / "target.py").write_text(f"{prepare}import torch\nprint(torch.get_num_threads())")
    for threads in ("1", "2"):
        variables = environment(warm_stages) | {"OMP_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "target.py"], cwd=tmp_path, env=variables, capture_output=True, text=True
        )
        assert done.stdout == f"{threads}\n", done.stderr


def test_a_command_decides_itself_how_it_ends_after_ctrl_c(tmp_path):
    """DVC, when interrupted, still restores what it has checked out."""
    command = "trap 'sleep 1; kill $!; echo cleaned up; exit 7' INT; echo begun; sleep 60 & wait"
    with subprocess.Popen(
        [sys.executable, SOURCE / "warm.py", "bash", "-c", command],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout and process.stdout.readline() == "begun\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=30)[0] == "cleaned up\n" and process.returncode == 7
