"""Run one task of a sweep, on whichever machine this is: `dvc exp run` in a clone that no other task uses.

    PYTHONPATH=src python -m stiltwalk.sweep.worker TASK.json

Told to end by SIGTERM, it lets the training save its state. Under Slurm, it then queues the job again, unless the job
was cancelled. It writes an attempt (records.py), and sends a finished experiment back to the repository.
"""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from getpass import getuser
from pathlib import Path
from types import FrameType

import yaml

from stiltwalk.sweep.records import Attempt, Job
from stiltwalk.utils.durations import VARIABLE as TIMES_VARIABLE
from stiltwalk.utils.files import read_json
from stiltwalk.utils.locations import RESUME_VARIABLE
from stiltwalk.utils.process import WARM_ADDRESS
from stiltwalk.utils.stage import end_with_parent

RUNNING = re.compile(r"Running stage '([^']+)'")
FAILED = re.compile(r"failed to reproduce '([^']+)'")
CLEAN = ".git/stiltwalk-clean"  # a file of a clone whose last task ended well; its text says what it was made for
LAUNCH_VARIABLE, LAUNCH_FILE = "STILTWALK_LAUNCH", "launch/gpus.yaml"


def work(job: Job) -> int:
    """Run a task; returns the exit status."""
    attempt = Attempt(job.task, job.order, job.seed, commands=job.commands)
    attempt.write(Path(job.attempts))
    children: list[subprocess.Popen[str]] = []

    def end(*_: int | FrameType | None) -> None:
        attempt.terminated = True
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    try:
        with own_clone(job) as clone:
            for command in job.commands:
                if attempt.terminated:
                    attempt.status = 1
                    break
                children[:] = [start_dvc(job, command, clone, Path(job.attempts) / f"{job.task}.{attempt.key}.jsonl")]
                if attempt.terminated:
                    end()  # SIGTERM came while it started
                attempt.status = follow(children[0], attempt, Path(job.attempts))
                if attempt.status:
                    break
            else:
                send_back(job, clone, attempt)
                (clone / CLEAN).write_text(version_of(job))
    except subprocess.CalledProcessError as error:
        attempt.status, attempt.last_line = 1, f"{error}: {error.stderr or ''}".strip()
        print(attempt.last_line, flush=True)
    finally:
        attempt.status = 1 if attempt.status is None else attempt.status
        attempt.ended, attempt.stage = time.time(), ""
        attempt.write(Path(job.attempts))
    if job.requeue and attempt.terminated and attempt.status and is_running_slurm_job():
        subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]])
    return attempt.status


def is_running_slurm_job() -> bool:
    """Return whether this is a Slurm job that nobody has cancelled."""
    command = ["scontrol", "show", "job", "-o", os.environ["SLURM_JOB_ID"]]
    return " JobState=RUNNING " in subprocess.run(command, capture_output=True, text=True).stdout


def git(*arguments: str, cwd: Path) -> str:
    """Run Git and return what it prints. Raises CalledProcessError if it fails."""
    return subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, check=True).stdout


@contextlib.contextmanager
def own_clone(job: Job) -> Iterator[Path]:
    """Yield a clone at the job's commit that no other task of this machine uses.

    A clone is used again only if its last task ended by itself: DVC leaves stale locks after any other end.
    """
    user_folder = Path(os.environ.get("SLURM_TMPDIR") or tempfile.gettempdir()) / f"stiltwalk-{getuser()}"
    scratch = Path(job.scratch or os.environ.get("STILTWALK_SCRATCH") or user_folder)
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    if scratch.stat().st_uid != os.getuid():
        raise PermissionError(f"{scratch} belongs to another user; set STILTWALK_SCRATCH to a folder of your own")
    for number in range(1000):
        clone = scratch / str(number)
        with (scratch / f"{number}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            clean = clone / CLEAN
            if not (clean.is_file() and clean.read_text() == version_of(job)):
                make_clone(job, clone)
            clean.unlink(missing_ok=True)
            (clone / ".dvc/config.local").write_text(job.dvc_config, encoding="utf-8")
            yield clone
            return
    raise RuntimeError(f"{scratch} has 1000 clones, all of them in use")


def version_of(job: Job) -> str:
    """Return what a clone must have been made for, to be used again."""
    return f"{job.bundle} {job.commit} {job.own_version}"


def make_clone(job: Job, clone: Path) -> None:
    """Make a clone from the job's bundle, with its cache or remote, and with the user's own data."""
    shutil.rmtree(clone, ignore_errors=True)
    clone.mkdir(mode=0o700)  # its configuration may hold credentials
    git("init", "--quiet", str(clone), cwd=clone.parent)
    git("fetch", "--quiet", job.bundle, "HEAD", cwd=clone)
    git("checkout", "--quiet", "-b", "sweep", job.commit, cwd=clone)
    for key, value in job.identity.items():
        git("config", key, value, cwd=clone)
    # dvc.lock may name data that the cache lacks; DVC then fails even if newer data could be reused.
    (clone / "dvc.lock").unlink(missing_ok=True)
    if job.own_data:
        shutil.copytree(job.own_data, clone / "data/own", symlinks=True)


def start_dvc(job: Job, command: list[str], clone: Path, times: Path) -> subprocess.Popen[str]:
    """Start `dvc exp run`; it ends if this process is killed. times: the file that gets the durations of stages."""
    environment = os.environ | {TIMES_VARIABLE: str(times), "TQDM_DISABLE": "1"}
    words = ["dvc", "exp", "run", *(["--pull"] if job.remote else []), *command]
    if WARM_ADDRESS not in environment:
        words = ["python", "src/warm.py", *words]
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    environment.setdefault("DVC_SITE_CACHE_DIR", str(clone.parent / "site-cache"))  # SQLite, which needs a local disk
    environment[RESUME_VARIABLE] = job.resume or str(clone.parent / "resume")
    if job.gpus > 1:
        environment[LAUNCH_VARIABLE] = str(write_launch_file(clone, job.gpus))
    return subprocess.Popen(
        words,
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        preexec_fn=end_with_parent,
    )


def follow(process: subprocess.Popen[str], attempt: Attempt, folder: Path) -> int:
    """Repeat what `dvc exp run` prints, and note which stages run; returns its exit status."""
    assert process.stdout
    for line in process.stdout:
        print(line, end="", flush=True)
        if line.strip() and not line.startswith("Having any troubles?"):
            attempt.last_line = line.strip()
        if stages := RUNNING.findall(line):
            attempt.ran += [attempt.stage] if attempt.stage else []
            attempt.stage = stages[-1]
            attempt.write(folder)
        elif FAILED.search(line):
            attempt.stage = ""
    status = process.wait()
    attempt.ran += [attempt.stage] if attempt.stage and not status else []
    attempt.stage = ""
    return status


def write_launch_file(clone: Path, gpus: int) -> Path:
    """Write a launch file for so many processes, one for each GPU; returns its path."""
    settings = yaml.safe_load((clone / LAUNCH_FILE).read_text(encoding="utf-8"))
    path = clone / ".dvc/tmp/launch.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(settings | {"num_processes": gpus}), encoding="utf-8")
    return path


def send_back(job: Job, clone: Path, attempt: Attempt) -> None:
    """Send outputs to the remote, and the experiment to the repository or into a bundle."""
    if job.remote:
        dvc = Path(sys.executable).with_name("dvc")
        subprocess.run([dvc, "push", "--quiet", "--run-cache"], cwd=clone, check=True, capture_output=True, text=True)
    if not job.experiment:
        lock = yaml.safe_load((clone / "dvc.lock").read_text(encoding="utf-8"))["stages"]
        attempt.outputs = sorted({out["md5"] for stage in lock.values() for out in stage.get("outs", [])})
    else:
        references = git("for-each-ref", "refs/exps", "--format=%(refname)", cwd=clone).split()
        reference = next(one for one in references if one.split("/", 4)[-1] == job.experiment)
        if job.repository:
            git("push", "--quiet", job.repository, f"+{reference}:{reference}", cwd=clone)
        else:
            bundle = Path(job.attempts) / f"{job.task}.{attempt.key}.bundle"
            git("bundle", "create", "--quiet", str(bundle), reference, f"^{job.commit}", cwd=clone)
        git("update-ref", "-d", reference, cwd=clone)  # else a repetition in this clone would be refused


if __name__ == "__main__":
    end_with_parent()
    sys.exit(work(Job(**read_json(Path(sys.argv[1])))))
