"""A process that has imported torch and transformers, and forks a stage whenever one asks for it.

Importing these libraries takes seconds, which a run of small stages would pay twenty times. Only libraries are imported
here: each stage imports the project's own code itself, from the folder that it runs in.
"""

import gc
import json
import os
import runpy
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from stiltwalk.utils.process import WARM_ADDRESS, set_thread_waiting

SOURCE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Request:
    """A stage that a client asks for: its command line, folder and environment, and its standard streams."""

    argv: list[str]
    cwd: str
    env: dict[str, str]
    files: list[int]


@contextmanager
def warm_stages() -> Iterator[dict[str, str]]:
    """Yield the environment variables with which stages start warm while the block runs."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        address = f"{folder}/stages"
        listener.bind(address)
        listener.listen()  # stages may connect at once, and wait until the imports are done
        paths = [str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
        server = subprocess.Popen(
            [sys.executable, "-m", "stiltwalk.warm", str(listener.fileno()), str(os.getpid())],
            pass_fds=[listener.fileno()],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C goes to the command only; the server sees its stages' clients end
        )
        try:
            yield {WARM_ADDRESS: address}
        finally:
            server.terminate()
            server.wait()


def call(command: list[str], environment: Mapping[str, str]) -> int:
    """Run a command and return its exit status.

    SIGTERM is passed on to the command: a scheduler may send it to this process only. Ctrl-C reaches the command
    itself, which decides how it ends.
    """
    signal.signal(signal.SIGINT, lambda *_: None)  # the command would inherit SIG_IGN, but it does not inherit this
    process = subprocess.Popen(command, env=environment)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    return process.wait()


def import_libraries() -> None:
    """Import what stages take long to import; none of it starts a thread or touches a GPU."""
    set_thread_waiting()
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # leaves CUDA uninitialised, so that stages can be forked
    gc.disable()
    import accelerate.tracking  # noqa: F401
    import dvc.api  # noqa: F401
    import dvclive  # noqa: F401
    import pandas  # noqa: F401
    import peft  # noqa: F401
    import pyarrow.dataset
    import pyarrow.parquet  # noqa: F401
    import sklearn.decomposition  # noqa: F401
    import tokenizers  # noqa: F401
    import torch  # noqa: F401
    import transformers.models.xlm_roberta.modeling_xlm_roberta  # noqa: F401
    from transformers import AutoModel, AutoTokenizer, get_linear_schedule_with_warmup  # noqa: F401

    gc.freeze()
    gc.enable()


def serve(listener: socket.socket, parent: int) -> None:
    """Fork a stage for every request, as long as the process `parent` lives."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    import_libraries()  # the parent may have ended by the time this is done
    clients: dict[int, socket.socket] = {}
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    try:
        while os.getppid() == parent:
            for key, _ in selector.select(0.02):
                if key.fileobj is listener:
                    client, _ = listener.accept()
                    if request := receive_request(client):
                        clients[start_stage(request)] = client
                        selector.register(client, selectors.EVENT_READ)
                    else:
                        client.close()
                else:  # a waiting client sends nothing: it has ended
                    terminate([pid for pid, client in clients.items() if client is key.fileobj])
                    selector.unregister(key.fileobj)
            for pid, client in list(clients.items()):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    with suppress(KeyError):  # if the client has not ended
                        selector.unregister(client)
                    with suppress(OSError):
                        client.sendall(struct.pack("!i", os.waitstatus_to_exitcode(status) % 256))
                    clients.pop(pid).close()
    finally:
        terminate(list(clients))
        for pid in clients:  # a scheduler kills whatever is left when the command has ended
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def terminate(stages: list[int]) -> None:
    """Send SIGTERM to stages; a training saves its state before it ends."""
    for pid in stages:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def receive_request(client: socket.socket) -> Request | None:
    """Receive the stage that a client asks for; None if the client ended before it asked."""
    head, files, *_ = socket.recv_fds(client, 4, 3)
    (size,) = struct.unpack("!I", head) if len(head) == 4 else (0,)
    text = client.recv(size, socket.MSG_WAITALL)
    if not text or len(text) < size:
        close_files(files)
        return None
    facts = json.loads(text)
    return Request(facts["argv"], facts["cwd"], facts["env"], files)


def close_files(files: list[int]) -> None:
    """Close file descriptors."""
    for file in files:
        os.close(file)


def start_stage(request: Request) -> int:
    """Fork a stage and return its process id."""
    if pid := os.fork():
        close_files(request.files)
        return pid
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for number, file in enumerate(request.files):
            os.dup2(file, number)
        close_files(request.files)
        code = run_script(request)
    finally:
        os._exit(code)


def run_script(request: Request) -> int:
    """Run a command line in this process as Python would, and return its exit status."""
    os.chdir(request.cwd)
    os.environ.clear()
    os.environ.update({name: value for name, value in request.env.items() if name != WARM_ADDRESS})
    sys.argv = request.argv
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    for name in [name for name in sys.modules if name.partition(".")[0] == "stiltwalk"]:
        del sys.modules[name]  # the stage imports them from its own checkout
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if "torch" in sys.modules and threads.isdigit():  # torch read the server's variable when it was imported
        sys.modules["torch"].set_num_threads(int(threads))
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
        return 0
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
