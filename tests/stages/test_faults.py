"""Runs that end from outside: a full disk, a read-only cache, too little memory, a killed `dvc`."""

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from laboratory import TINY, Project, clone
from stiltwalk.utils.process import WARM_ADDRESS

pytestmark = pytest.mark.slow

ORDER = ["order=[mnli]", "targets=[]"]
AGAIN = [*ORDER, "seed=7"]  # encoder and data stay
Mount = Callable[[Path, str], None]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, warm_commands: dict[str, str]) -> Project:
    project = clone(tmp_path_factory.mktemp("faults") / "finished")
    project.environment |= warm_commands
    project.experiment(*ORDER)
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of a finished run, with a cache of its own."""
    copy = Project(tmp_path / "copy")
    subprocess.run(["cp", "-a", finished.folder, copy.folder], check=True)
    copy.environment = finished.environment
    return copy


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mounts memory over a folder, with its content; once more for other options of the same."""
    mounted: list[Path] = []

    def over(folder: Path, options: str) -> None:
        again = folder in mounted
        content = folder.with_name(f"{folder.name}.content")
        if not again:
            shutil.copytree(folder, content)
        command = ["mount", "-t", "tmpfs", "-o", f"remount,{options}" if again else options, "stiltwalk", str(folder)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root may mount a tmpfs")
        if not again:
            mounted.append(folder)
            shutil.copytree(content, folder, dirs_exist_ok=True)

    yield over
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


def assert_whole(project: Project) -> None:
    """The experiment now runs to its end, with the bytes of a training that nothing happened to."""
    project.experiment(*AGAIN)
    ended = hashes(project)
    project.run("dvc", "repro", "--force", "--single-item", "intermediate@1-mnli")
    assert len(ended) > 5 and hashes(project) == ended
    assert "not in cache" not in project.run("dvc", "data", "status")


def hashes(project: Project) -> dict[str, str]:
    folder = project.folder / "models/1-mnli"
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


def test_a_full_disk_ends_in_one_line_and_leaves_nothing_half_written(project: Project, mount: Mount):
    models = project.folder / "models"
    size = sum(path.stat().st_size for path in models.glob("[0t]*/**/*"))
    mount(models, "size=1g")
    shutil.rmtree(models / "1-mnli")
    mount(models, f"size={size + 300_000}")
    output = project.experiment(*AGAIN, code=255)
    (line,) = re.findall("^error: .*", output, re.M)
    assert "No space left" in line and "free some space" in line and "Traceback" not in output
    assert sorted(path.name for path in models.iterdir()) == ["0-encoder", "tokenizer"]
    mount(models, "size=1g")
    assert_whole(project)


@pytest.mark.parametrize(("fault", "end"), [("ro", "rw"), ("size={used}", "size=1g")], ids=["read-only", "full"])
def test_an_unwritable_cache_never_holds_half_a_result(project: Project, mount: Mount, fault: str, end: str):
    cache = project.folder / ".dvc/cache"
    mount(cache, "size=1g")
    used = shutil.disk_usage(cache).used
    mount(cache, fault.format(used=used + 300_000))
    output = project.experiment(*AGAIN, code=255)
    assert ("Read-only file system" if fault == "ro" else "No space left") in output and "Traceback" not in output
    mount(cache, end)
    assert_whole(project)


def test_running_out_of_memory_names_the_setting_that_halves_it(project: Project):
    """Of a gibibyte and a half beside the libraries; a batch of 4,000 rows takes more, one of 32 less."""
    code = (
        "import resource, runpy, sys; sys.argv[:] = sys.argv[1:]; sys.path.insert(0, 'src')\n"
        "import psutil, peft, stiltwalk.training.trainer\n"
        "limit = psutil.Process().memory_info().vms + (3 << 29)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    cold = {name: value for name, value in project.environment.items() if name != WARM_ADDRESS}
    before = hashes(project)
    large = ["sample.train=4000", "training.batch_size=4000", "training.micro_batch_tokens=4000000"]
    for sets, ended in ((large, 1), ([], 0)):
        project.experiment(*AGAIN, *sets, stage="data@mnli")
        done = subprocess.run(
            [sys.executable, "-c", code, "src/train_step.py", "1-mnli"],
            cwd=project.folder,
            env=cold | {"MALLOC_ARENA_MAX": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == ended and "Traceback" not in done.stderr, done.stderr[-2000:]
        assert (hashes(project) == before) == bool(ended)
        if ended:
            assert (
                "error: out of memory" in done.stderr
                and "-S ++tasks.mnli.training.micro_batch_tokens=2000000" in done.stderr
            )


def test_a_stage_ends_with_its_dvc_and_resumes(project: Project):
    """dvc alone is killed, in the midst of a training that was not started warm, by a shell that would stay between."""
    cold = {name: value for name, value in project.environment.items() if name != WARM_ADDRESS} | {"SHELL": "/bin/sh"}
    long = [*AGAIN, "training.epochs=120"]
    sets = [word for override in [*TINY, *long] for word in ("-S", override)]
    with subprocess.Popen(
        ["dvc", "exp", "run", *sets], cwd=project.folder, env=cold, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        next(line for line in running.stdout if "1-mnli: 240 steps" in line)
        family = psutil.Process(running.pid).children(recursive=True)
        (stage,) = (process for process in family if process.name().startswith("python"))
        running.kill()
    psutil.wait_procs([stage], timeout=30)
    assert not stage.is_running()
    assert re.search("1-mnli: resuming after step", project.experiment(*long))
