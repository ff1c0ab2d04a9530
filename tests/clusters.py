"""Test clusters on this machine, on loopback: Slurm with several nodes, and dask with several workers."""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

NODES = 3
SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,sched_min_interval=0
SlurmdTimeout=6
SlurmctldTimeout=5
MessageTimeout=5
KillWait=3
JobRequeue=1
BatchStartTimeout=5
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MpiDefault=none
MaxJobCount=20000
{nodes}
PartitionName=main Nodes=node[1-{count}] Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=5
PartitionName=urgent Nodes=node[1-{count}] MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
"""


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until a condition holds. Raises AssertionError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)


class Slurm:
    """A cluster with nodes of one core each, in a folder."""

    def __init__(self, folder: Path):
        if missing := [program for program in ("slurmctld", "slurmd", "sbatch", "munged") if not find(program)]:
            pytest.skip(f"no {missing[0]} here: apt-get install slurmctld slurmd slurm-client munge")
        if os.geteuid() or not Path("/etc/munge/munge.key").is_file():
            pytest.skip("a test cluster needs root, and munge's key in /etc/munge")
        self.folder, self.port = folder, free_ports(NODES + 1)
        (folder / "state").mkdir(parents=True)
        host = socket.gethostname().partition(".")[0]
        nodes = [
            f"NodeName=node{n} NodeHostname={host} NodeAddr=127.0.0.1 Port={self.port + n} CPUs=1 State=UNKNOWN"
            for n in range(1, NODES + 1)
        ]
        conf = SLURM_CONF.format(host=host, port=self.port, folder=folder, nodes="\n".join(nodes), count=NODES)
        (folder / "slurm.conf").write_text(conf)
        self.conf = str(folder / "slurm.conf")
        self.environment = {"SLURM_CONF": self.conf}

    def start(self) -> None:
        if not any(process.name() == "munged" for process in psutil.process_iter()):
            subprocess.run(["install", "-d", "-o", "munge", "-g", "munge", "-m", "755", "/run/munge"], check=True)
            subprocess.run(["runuser", "-u", "munge", "--", find("munged")], check=True)
        self.run("slurmctld", "-c")
        for n in range(1, NODES + 1):
            self.run("slurmd", "-N", f"node{n}", "-c")
        wait_until(lambda: len(self.run("sinfo", "-h", "-N", "-p", "main", "-t", "idle").splitlines()) == NODES)

    def run(self, program: str, *arguments: str) -> str:
        """Run a program of Slurm; returns what it prints."""
        command = [find(program), *arguments]
        done = subprocess.run(command, env=os.environ | self.environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{program}: {done.stderr}"
        return done.stdout

    def node_of(self, job: str) -> str:
        """The node on which the job of this name runs; empty if it does not."""
        lines = self.run("squeue", "-h", "-t", "running", "-o", "%j|%N").splitlines()
        return next((line.split("|")[1] for line in lines if line.split("|")[0].endswith(job)), "")

    def kill(self, node: str) -> None:
        """Lose a node: kill its daemon and everything that it runs."""
        victims = [psutil.Process(int((self.folder / f"{node}.pid").read_text()))]
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                environment = process.environ()
                if (environment.get("SLURM_CONF"), environment.get("SLURMD_NODENAME")) == (self.conf, node):
                    parents = [parent for parent in process.parents() if "slurmstepd" in parent.name()]
                    victims += [*parents, process]  # first its guard, which would report its end
        for process in victims:
            with contextlib.suppress(psutil.Error):
                process.kill()

    def end_hold(self) -> bool:
        """Start jobs that were queued again, which Slurm holds for two minutes; returns whether there were any."""
        lines = self.run("squeue", "-h", "-t", "pending", "-o", "%i|%r").splitlines()
        held = [line.split("|")[0] for line in lines if line.endswith("|BeginTime")]
        for number in held:
            self.run("scontrol", "update", f"JobId={number}", "StartTime=now")
        return bool(held)

    def stop(self) -> None:
        with contextlib.suppress(AssertionError):
            self.run("scancel", "--me")
        for path in self.folder.glob("*.pid"):
            with contextlib.suppress(psutil.Error, ValueError):
                psutil.Process(int(path.read_text())).kill()


@contextlib.contextmanager
def slurm_cluster() -> Iterator[Slurm]:
    """A Slurm cluster while the block runs, in a folder of its own: the paths of its sockets have to be short."""
    with (
        (Path(tempfile.gettempdir()) / "stiltwalk-test-slurm").open("w") as lock,
        tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as folder,
    ):
        cluster = Slurm(Path(folder))
        fcntl.flock(lock, fcntl.LOCK_EX)  # one cluster at a time: they would share munge
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@contextlib.contextmanager
def dask_cluster(
    folder: Path, workers: int = 2, variables: Mapping[str, str] | None = None
) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A dask scheduler and its workers, which share no folder; yields its address and the workers.

    variables: of their environment.
    """
    dask = str(Path(sys.executable).with_name("dask"))
    address = f"tcp://127.0.0.1:{free_ports(1)}"
    options = ["--host", "127.0.0.1", "--no-dashboard"]
    commands = [[dask, "scheduler", *options, "--port", address.rpartition(":")[2], "--no-show"]]
    limits = ["--nthreads", "1", "--memory-limit", "0"]
    commands += [[dask, "worker", address, *options, *limits, "--local-directory", "dask"] for _ in range(workers)]
    processes = []
    try:
        for number, command in enumerate(commands):
            place = folder / str(number)
            place.mkdir(parents=True)
            environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
            environment |= {"STILTWALK_SCRATCH": str(place / "scratch"), **(variables or {})}
            with (place / "log").open("w") as log:
                processes.append(
                    subprocess.Popen(
                        command, cwd=place, env=environment, stdout=log, stderr=log, start_new_session=True
                    )
                )
        yield address, processes[1:]
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in processes:
            process.wait(30)


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[dict[str, str]]:
    """An S3 server on loopback with a bucket; yields the options of a DVC remote in it."""
    import boto3

    folder.mkdir(parents=True)
    port = free_ports(1)
    endpoint, keys = f"http://127.0.0.1:{port}", {"access_key_id": "id", "secret_access_key": "key"}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([find("moto_server"), "-p", str(port)], stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(port))
        named = {f"aws_{name}": key for name, key in keys.items()}
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **named)
        client.create_bucket(Bucket="sweeps")
        yield {"url": "s3://sweeps/one", "endpointurl": endpoint, **keys}
    finally:
        server.terminate()
        server.wait()


def answers(port: int) -> bool:
    """Whether a server on this machine listens at the port."""
    with socket.socket() as client:
        return not client.connect_ex(("127.0.0.1", port))


def find(program: str) -> str:
    """The path of a program, also of those that only root has in its path."""
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or ""


def free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    for first in range(20000 + 8 * os.getpid() % 30000, 60000, count):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise AssertionError("no free ports")
