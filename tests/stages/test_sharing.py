"""What one clone shares, another has: through a folder, a real SSH server, and endpoints of S3 and Google Cloud."""

import contextlib
import getpass
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from laboratory import TINY, Project, clone, ran

pytestmark = pytest.mark.slow

SECRET = f"hush-{secrets.token_hex()}"  # in every credential that is used here; nowhere in the repository
Options = dict[str, str]
TARGETS = "targets=[tatoeba]"  # which no training is needed for
SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory, warm_commands: dict[str, str]) -> Project:
    """Two experiments in a repository whose Git remote is a bare one beside it."""
    locked = ("world", "encoder", "data@mnli", "retrieval@tatoeba", "score")  # in a run that nobody here has
    project = clone(tmp_path_factory.mktemp("sharing") / "laboratory", locked)
    project.run("git", "init", "-q", "--bare", "-b", "main", "../git")
    project.run("git", "remote", "add", "origin", str(project.folder.parent / "git"))
    project.run("git", "push", "-q", "origin", "main")
    # gcsfs would ask Google's control plane, which the emulator has not, what kind of bucket it is.
    project.environment |= warm_commands | {"HF_TOKEN": f"hf_{SECRET}", "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
    project.experiment("order=[mnli]", TARGETS, name="mnli")
    project.experiment("order=[]", TARGETS, name="baseline")
    return project


@contextlib.contextmanager
def folder(place: Path) -> Iterator[Options]:
    """The default, for which nothing is set."""
    yield {}


@contextlib.contextmanager
def ssh(place: Path) -> Iterator[Options]:
    """OpenSSH's server on loopback, with keys of its own; it lets nobody in by password."""
    if not SSHD:
        pytest.skip("no sshd here: apt-get install openssh-server")
    place.chmod(0o700)
    for name, phrase in (("host", ""), ("user", SECRET)):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", phrase, "-f", place / name], check=True)
    shutil.copy(place / "user.pub", place / "authorized")
    settings = {
        "HostKey": place / "host",
        "AuthorizedKeysFile": place / "authorized",
        "PidFile": place / "pid",
        "ListenAddress": "127.0.0.1",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "StrictModes": "no",
        "UsePAM": "no",
        "MaxStartups": "100",
        "Subsystem": "sftp internal-sftp",
    }
    (place / "config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it wants its unprivileged half to live
    with serving([SSHD, "-D", "-e", "-f", str(place / "config"), "-p"], place) as port:
        url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{place}/storage"
        yield {"url": url, "keyfile": str(place / "user"), "passphrase": SECRET}


@contextlib.contextmanager
def s3(place: Path) -> Iterator[Options]:
    import boto3

    keys = {"access_key_id": f"id-{SECRET}", "secret_access_key": f"key-{SECRET}"}
    with serving(["moto_server", "-p"], place) as port:
        endpoint = f"http://127.0.0.1:{port}"
        named = {f"aws_{name}": key for name, key in keys.items()}
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **named)
        client.create_bucket(Bucket="laboratory")
        yield {"url": "s3://laboratory/stiltwalk", "endpointurl": endpoint, **keys}


@contextlib.contextmanager
def gs(place: Path) -> Iterator[Options]:
    command = ["gcp-storage-emulator", "start", "--host", "127.0.0.1", "--in-memory", "--default-bucket", "laboratory"]
    with serving([*command, "--port"], place) as port:
        endpoint = f"http://127.0.0.1:{port}"
        yield {"url": "gs://laboratory/stiltwalk", "endpointurl": endpoint, "allow_anonymous_login": "true"}


@contextlib.contextmanager
def serving(command: list[str], place: Path) -> Iterator[int]:
    """A server that gets a free port as its last argument, until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (place / "log").open("w") as log:
        server = subprocess.Popen([*command, str(port)], stdout=log, stderr=log)
    try:
        for _ in range(200):
            assert server.poll() is None, (place / "log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait()


def set_remote(options: Options, project: Project, *others: Project) -> None:
    """As the README says: in .dvc/config.local alone, so that it holds at the commits of all experiments."""
    config = project.folder / ".dvc/config.local"
    config.unlink(missing_ok=True)
    if options:
        project.run("dvc", "remote", "add", "--local", "--default", "lab", options["url"])
    for name in options.keys() - {"url"}:
        project.run("dvc", "remote", "modify", "--local", "lab", name, options[name])
    for other in others:
        local = other.folder / ".dvc/config.local"
        shutil.copy(config, local) if options else local.unlink(missing_ok=True)


@pytest.mark.parametrize("storage", [folder, ssh, s3, gs], ids=lambda storage: storage.__name__)
def test_a_colleague_gets_every_experiment_and_trains_only_new_steps(
    laboratory: Project,
    tmp_path: Path,
    storage: Callable[[Path], contextlib.AbstractContextManager],
):
    with storage(tmp_path) as options:
        set_remote(options, laboratory)
        laboratory.run("make", "-o", "setup", "share")
        colleague = Project(laboratory.folder.parent / f"colleague-{storage.__name__}")
        colleague.environment = laboratory.environment
        laboratory.run("git", "clone", "-q", str(laboratory.folder.parent / "git"), str(colleague.folder))
        set_remote(options, colleague)
        colleague.run("make", "-o", "setup", "fetch")

        assert set(colleague.run("dvc", "exp", "list", "--all", "--name-only").split()) == {"baseline", "mnli"}
        difference = ["dvc", "metrics", "diff", "--json", "baseline", "mnli"]
        found = json.loads(colleague.run(*difference))
        assert found == json.loads(laboratory.run(*difference))
        assert "tasks.tatoeba.score" in found["metrics/summary.json"]

        output = colleague.experiment("order=[mnli,squad]", TARGETS)
        assert ran(output, "intermediate@") == ["intermediate@2-squad"]
        assert ran(output, "data@") == ["data@squad"] and ran(output, "xtreme@") == ran(output, "encoder") == []


def test_a_run_can_fetch_only_what_it_needs(laboratory: Project, tmp_path: Path):
    set_remote({"url": str(tmp_path / "storage")}, laboratory)
    laboratory.run("make", "-o", "setup", "share")
    colleague = Project(tmp_path / "colleague")
    colleague.environment = laboratory.environment
    laboratory.run("git", "clone", "-q", str(laboratory.folder.parent / "git"), str(colleague.folder))
    set_remote({"url": str(tmp_path / "storage")}, colleague)
    colleague.run("dvc", "exp", "pull", "--no-cache", "--all-commits", "origin")
    assert not (colleague.folder / ".dvc/cache/files").exists()
    sets = [word for override in [*TINY, "order=[mnli,squad]", TARGETS] for word in ("-S", override)]
    assert ran(colleague.run("dvc", "exp", "run", "--pull", *sets), "intermediate@") == ["intermediate@2-squad"]


@pytest.mark.parametrize("target", ["share", "fetch"])
def test_a_vanished_server_is_named_and_no_partial_transfer_counts_as_complete(
    laboratory: Project, tmp_path: Path, target: str
):
    """Its processes are killed in the midst of the transfer; then another one serves the same disk."""
    git, places = laboratory.folder.parent / "git", [tmp_path / "one", tmp_path / "two"]
    colleague = Project(tmp_path / "colleague")
    colleague.environment = laboratory.environment
    laboratory.run("git", "clone", "-q", str(git), str(colleague.folder))
    busy = laboratory if target == "share" else colleague
    for place in places:
        place.mkdir()
    with ssh(places[0]) as options:
        set_remote(options, laboratory, colleague)
        if target == "fetch":
            laboratory.run("make", "-o", "setup", "share")
        arriving = places[0] / "storage" if target == "share" else colleague.folder / ".dvc/cache/files"
        with subprocess.Popen(
            ["make", "-o", "setup", target], cwd=busy.folder, env=busy.environment, stderr=subprocess.PIPE, text=True
        ) as transfer:
            assert transfer.stderr is not None
            while sum(path.is_file() for path in arriving.rglob("*")) < 5:
                assert transfer.poll() is None, "all came before the server could vanish"
            servers = psutil.Process().children(recursive=True)
            servers = [process for process in servers if process.name().startswith("sshd")]
            for process in servers:
                process.kill()
            output = transfer.stderr.read()
    assert transfer.returncode and "Traceback" not in output
    failure = "error: the transfer with the DVC remote lab and the Git remote origin failed (see above); "
    assert f"{failure}run the same command again when" in output

    places[0].joinpath("storage").rename(places[1] / "storage")
    with ssh(places[1]) as options:
        set_remote(options, laboratory, colleague)
        laboratory.run("make", "-o", "setup", "share")
        colleague.run("make", "-o", "setup", "fetch")
    (colleague.folder / "dvc.lock").unlink()  # as the README says: it is of a run that nobody here has
    output = colleague.experiment("order=[mnli]", TARGETS)
    assert ran(output) == ["score"] and colleague.summary() == laboratory.summary("mnli")
    assert "not in cache" not in colleague.run("dvc", "data", "status")


def test_no_credential_reaches_a_commit(laboratory: Project):
    """Neither what Git has, experiments included, nor the cache holds one, wherever the runs were given it."""
    set_remote({"url": "s3://laboratory/stiltwalk", "secret_access_key": SECRET}, laboratory)
    laboratory.run("git", "add", "-A")
    laboratory.run("git", "commit", "-qm", "all that is not ignored")
    command = ["git", "cat-file", "--batch-all-objects", "--batch"]
    objects = subprocess.run(command, cwd=laboratory.folder, capture_output=True, check=True).stdout
    assert b"url = ../../stiltwalk-storage" in objects and SECRET.encode() not in objects
    for file in (laboratory.folder / ".dvc/cache").rglob("*"):
        assert file.is_dir() or SECRET.encode() not in file.read_bytes(), file
