"""How scripts end: one line for what a user can mend, a traceback for faults of the code, one process per stage."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stiltwalk.utils.stage import REMEDIES, exclusive, remedy_for

SOURCE = Path(__file__).parents[2] / "src"


def run_script(body: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run a script whose main function has this body."""
    code = f"from stiltwalk.utils.errors import InputError\nfrom stiltwalk.utils.stage import *\n{body}"
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("InputError('params.yaml: seed is x; use a number')", "error: params.yaml: seed is x; use a number\n"),
        (
            "OSError(28, 'No space left on device', 'models')",
            "error: [Errno 28] No space left on device: 'models': free some space there (docs/troubleshooting.md), "
            "then run the same command again\n",
        ),
    ],
)
def test_an_error_that_a_user_can_mend_is_one_line_and_exit_status_1(tmp_path, error, message):
    done = run_script(f"def main(): print('begun'); raise {error}\nrun(main)", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, "begun\n", message)


def test_a_fault_of_the_code_shows_its_traceback(tmp_path):
    done = run_script("def main(): raise ValueError('no')\nrun(main)", tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("Traceback") and done.stderr.endswith("ValueError: no\n")


def test_a_stage_without_its_inputs_is_one_line(tmp_path):
    done = run_script("def main(): open('data/world.json')\nrun_stage(main)", tmp_path)
    message = "error: data/world.json is missing; `dvc repro` runs the stage that makes it\n"
    assert (done.returncode, done.stderr) == (1, message)


def test_wrong_arguments_of_a_stage_are_one_line(tmp_path):
    done = run_script("def main(first, second=''): pass\nrun_stage(main)", tmp_path)
    usage = "error: usage: python -c <first> <second>; `dvc exp run` calls every stage as dvc.yaml says\n"
    assert (done.returncode, done.stderr) == (1, usage)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "allocate memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 bytes"), "allocate memory"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), "Read-only file system"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES)), "Permission denied"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "Disk quota exceeded"),
        (ValueError("no"), None),
    ],
)
def test_errors_of_the_system_have_a_remedy(error, message):
    assert remedy_for(error) == (REMEDIES[message] if message else None)


def test_a_stage_waits_for_the_process_that_still_runs_it(tmp_path, monkeypatch):
    """The second process begins its block only after the first has left it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    code = "from stiltwalk.utils.stage import exclusive\nwith exclusive('target', 'xnli'): print('begun')"
    with exclusive("target", "xnli"):
        second = subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert second.stdout and second.stderr
        line = second.stderr.readline()
        assert line == f"waiting for process {os.getpid()}, which still runs stage target xnli\n"
        assert second.poll() is None
        with exclusive("target", "udpos"):  # another stage does not wait
            pass
    output, errors = second.communicate(timeout=30)
    assert (second.returncode, output, errors) == (0, "begun\n", "")
