"""Run a command whose stages find their libraries imported.

    python src/warm/run.py dvc exp run -S 'order=[mnli,squad]'

Importing torch and transformers takes two seconds and a half, which a run of small stages pays sixteen times. Here they
are imported once, in a process that lives as long as the command does; every stage is forked from it. Only libraries
are imported there: each stage imports the project's own code itself, from the folder that it runs in. DVC's own part is
hastened too (hook/dvc_files.py).
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
from pathlib import Path
from typing import Any

HOOK = Path(__file__).parent / "hook"
WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}  # as common/stage.py says


@contextmanager
def warm() -> Iterator[dict[str, str]]:
    """Variables that make stages start warm within the block; without them they start as ever."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        address = f"{folder}/stages"
        listener.bind(address)
        listener.listen()  # stages may come at once, and wait until all is imported
        server = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(listener.fileno()), str(os.getpid())],
            pass_fds=[listener.fileno()],
            start_new_session=True,  # Ctrl-C comes to the command, whose end of a stage is seen here
        )
        paths = [str(HOOK.resolve()), *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            yield {"STILTWALK_WARM": address, "PYTHONPATH": os.pathsep.join(paths)}
        finally:
            server.terminate()
            server.wait()


def import_libraries() -> None:
    """What stages import that takes long; nothing of it starts a thread or touches a GPU."""
    for variable, value in WAITING.items():
        os.environ.setdefault(variable, value)
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    gc.disable()
    import accelerate.tracking  # noqa: F401
    import dvclive  # noqa: F401
    import pandas  # noqa: F401
    import peft  # noqa: F401
    import pyarrow.dataset  # noqa: F401
    import sklearn.decomposition  # noqa: F401
    import tokenizers  # noqa: F401
    import torch  # noqa: F401
    from transformers import AutoModel, AutoTokenizer, get_linear_schedule_with_warmup  # noqa: F401

    gc.freeze()
    gc.enable()


def serve(listener: socket.socket, parent: int) -> None:
    """Fork a stage for every command line that comes, as long as the process that started this one lives."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    import_libraries()  # the parent may be gone before it ends
    stages = dict[int, socket.socket]()
    waiting = selectors.DefaultSelector()
    waiting.register(listener, selectors.EVENT_READ)
    try:
        while os.getppid() == parent:
            for key, _ in waiting.select(0.02):
                if key.fileobj is listener:
                    client, _ = listener.accept()
                    stages[start(client)] = client
                    waiting.register(client, selectors.EVENT_READ)
                else:  # a client that waits says nothing: it is gone
                    end([pid for pid, client in stages.items() if client is key.fileobj])
            for pid, client in list(stages.items()):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    waiting.unregister(client)
                    with suppress(OSError):
                        client.sendall(struct.pack("!i", os.waitstatus_to_exitcode(status) % 256))
                    stages.pop(pid).close()
    finally:
        end(list(stages))
        for pid in stages:  # a scheduler kills what is left when the command has ended
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def end(stages: list[int]) -> None:
    """A training saves its state before it ends."""
    for pid in stages:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def call(command: list[str], environment: Mapping[str, str]) -> int:
    """A command's exit status; SIGTERM, which a scheduler may send to this process alone, is passed on to it."""
    with subprocess.Popen(command, env=environment) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            return process.wait()
        except BaseException:  # Ctrl-C, which has come to the command as well
            process.kill()
            raise


def start(client: socket.socket) -> int:
    """Fork the stage that a client asks for; its process id."""
    head, files, *_ = socket.recv_fds(client, 4, 3)
    (size,) = struct.unpack("!I", head)
    told = json.loads(client.recv(size, socket.MSG_WAITALL))
    if pid := os.fork():
        for file in files:
            os.close(file)
        return pid
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        code = run(told)
    finally:
        os._exit(code)


def run(told: dict[str, Any]) -> int:
    """What Python does with a command line, in this process; its exit status."""
    os.chdir(told["cwd"])
    os.environ.clear()
    os.environ.update({name: value for name, value in told["env"].items() if name != "STILTWALK_WARM"})
    sys.argv = told["argv"]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
        return 0
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
            return 1
        return ended.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(socket.socket(fileno=int(sys.argv[2])), int(sys.argv[3]))
    else:
        with warm() as variables:
            code = call(sys.argv[1:], os.environ | variables)
        sys.exit(code)
