"""Stages started warm: the same files, streams and exit status as without, and nothing is left behind."""

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from common import stage as cold
from hypothesis import given, settings
from hypothesis import strategies as st

from stiltwalk.utils.warm import HOOK, warm
from warm import run as server

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


def test_threads_of_a_stage_started_warm_wait_as_those_of_one_that_is_not():
    assert server.WAITING == cold.WAITING and all(os.environ[name] for name in cold.WAITING)


@pytest.mark.slow
@pytest.mark.parametrize("word", ["ok", "three", "said", "raise"])
def test_a_stage_says_and_ends_alike(stage, word):
    warmly, plainly = stage(word, True), stage(word, False)
    assert '"target.py"' in warmly.stdout and ", true, " in warmly.stdout  # its libraries were there
    assert warmly.stdout.replace(", true, ", ", false, ") == plainly.stdout
    assert warmly.returncode == plainly.returncode == {"ok": 0, "three": 3, "said": 1, "raise": 1}[word]
    assert warmly.stderr.splitlines()[0] == "warning"
    assert warmly.stderr.splitlines()[-1] == plainly.stderr.splitlines()[-1]


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_command_that_is_told_to_end_ends_after_its_stages(tmp_path):
    """A scheduler tells the command alone, or all processes; when the command has ended it kills what is left."""
    (tmp_path / "target.py").write_text(
        "import signal, sys, time\n"
        "from pathlib import Path\n"
        "def told(*_):\n    time.sleep(2)\n    Path('saved').touch()\n    sys.exit(75)\n"
        "signal.signal(signal.SIGTERM, told)\n"
        "Path('begun').touch()\n"
        "time.sleep(60)\n"
    )
    script = Path(__file__).parents[2] / "src/warm/run.py"
    command = subprocess.Popen([sys.executable, str(script), sys.executable, "target.py"], cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    command.terminate()
    assert command.wait(timeout=30) != 0 and (tmp_path / "saved").exists()


@pytest.mark.slow
def test_without_the_server_a_stage_starts_by_itself(tmp_path):
    (tmp_path / "target.py").write_text(STAGE)
    with warm() as variables:
        pass
    environment = os.environ | {"TOLD": ""} | variables
    done = subprocess.run(
        [sys.executable, "target.py", "ok"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and ", false, " in done.stdout


@pytest.mark.slow
def test_a_server_whose_command_is_killed_while_it_imports_ends():
    code = "from warm.run import warm\nwith warm() as found: print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as command:
        assert command.stdout and command.stdout.readline() == b"\n"
        (server,) = psutil.Process(command.pid).children()
        command.kill()
    _, alive = psutil.wait_procs([server], timeout=30)
    assert not alive


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.sampled_from(
    [
        "no",
        "1e3",
        "1.0",
        "null",
        "~",
        "",
        " a",
        "a: b",
        "- a",
        "x" * 200,
        "word " * 40,
        "d41d8cd9.dir",
        "0x1f",
        "2020-01-01",
    ]
)
# Of others ruamel may change the last digit when it keeps how they were written.
FLOATS = st.integers(-(10**6), 10**6).map(lambda number: number / 1000) | st.sampled_from([1e-05, 3e-05, 1e-8, 1e20])
LEAVES = TEXTS | st.integers() | FLOATS | st.booleans() | st.none()
TREES = st.recursive(LEAVES, lambda some: st.lists(some, max_size=3) | st.dictionaries(TEXTS, some, max_size=3))
STAGES = st.dictionaries(TEXTS, st.fixed_dictionaries({"cmd": TEXTS, "params": TREES}), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def dvc_files():
    sys.path.insert(0, str(HOOK))
    import dvc_files

    yield dvc_files
    sys.path.remove(str(HOOK))


@settings(max_examples=100, deadline=None)
@given(first=STAGES, second=STAGES)
def test_dvc_lock_is_written_as_dvc_writes_it(dvc_files, first, second):
    """Stages, and then others into the same file, some of them anew."""
    texts = []
    for parse, dump in (
        (dvc_files._parse_for_update, dvc_files._dump),
        (dvc_files.parse_for_update, dvc_files.dump),
    ):
        text = io.StringIO()
        dump({"schema": "2.0", "stages": first}, text)
        data = parse(text.getvalue(), "dvc.lock")
        data["stages"].update(second)
        again = io.StringIO()
        dump(data, again)
        texts.append((text.getvalue(), again.getvalue()))
    assert texts[0] == texts[1]
    for written in texts[0]:
        assert repr(dvc_files.parse(written, "dvc.lock")) == repr(dvc_files._parse(written, "dvc.lock"))


def test_dvc_reads_with_fewer_steps_what_it_reads(dvc_files, tmp_path):
    """Values that DVC changes are its own, and a file that changes is read anew."""
    from dvc.fs import LocalFileSystem

    path, keys = tmp_path / "params.yaml", ["a.b", "none", "c"]
    for text in ("a: {b: [1, no]}\nc: 1.5\n", "a: {b: 2} # two\n", "a: {b: [1, no]}\nc: 1.5\n"):
        path.write_text(text)
        for flatten in (True, False):
            read, expected = (
                function(LocalFileSystem(), str(path), keys, flatten)
                for function in (dvc_files.values_of, dvc_files._look_up)
            )
            assert read == expected and list(read) == list(expected)
            read.clear()


def test_git_tracks_of_a_stage_what_dvc_says(dvc_files, tmp_path, monkeypatch):
    """Code and files without a cache, but neither outputs nor what lies in them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code").mkdir()
    (tmp_path / "code/a.py").write_text("")
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n"
        "  one: {cmd: 'mkdir out; echo a > out/a', deps: [code], outs: [out]}\n"
        "  two: {cmd: 'cp out/a b', deps: [out/a, code/a.py], outs: [b: {cache: false}]}\n"
        "  three: {cmd: 'cp b c', deps: [b, out], outs: [c]}\n"
    )
    dvc = str(Path(sys.executable).parent / "dvc")
    for command in (["git", "init", "--quiet"], [dvc, "init", "--quiet"], [dvc, "repro", "--quiet"]):
        subprocess.run(command, check=True)
    from dvc.repo import Repo

    with Repo() as repo:
        found = {
            stage.name: (dvc_files.stage_files(stage), dvc_files._stage_files(stage)) for stage in repo.index.stages
        }
        (tmp_path / "sub").mkdir()
        monkeypatch.chdir("sub")
        below = [(dvc_files.stage_files(stage), dvc_files._stage_files(stage)) for stage in repo.index.stages]
    assert all(ours == theirs for ours, theirs in [*found.values(), *below])
    files = {name: set(ours) - {"dvc.yaml", "dvc.lock"} for name, (ours, _) in found.items()}
    assert files == {"one": {"code"}, "two": {str(Path("code/a.py")), "b"}, "three": {"b"}}


@pytest.mark.slow
def test_a_pipeline_started_warm_leaves_the_same_files(tmp_path, warm_stages):
    locks = []
    for name, more in (("plain", {}), ("warm", warm_stages)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "dvc.yaml").write_text(
            "stages:\n"
            "  one: {cmd: 'echo a > a', outs: [a], params: [lr, name]}\n"
            "  two: {cmd: 'cp a b', deps: [a], outs: [b], params: [nested.no]}\n"
        )
        commands = [["init", "--no-scm", "--quiet"], ["repro", "--quiet"], ["repro", "--quiet"]]
        for number, command in enumerate(commands):
            (folder / "params.yaml").write_text(f"lr: 1e-0{1 + number}\nname: 'no'\nnested: {{no: [é, {number}]}}\n")
            dvc = str(Path(sys.executable).parent / "dvc")
            subprocess.run([dvc, *command], cwd=folder, env=os.environ | more, check=True)
        locks.append((folder / "dvc.lock").read_bytes())
    assert locks[0] == locks[1] and b"lr: 0.001" in locks[0]
