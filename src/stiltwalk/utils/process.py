"""The process of a stage: how its threads wait, and starting it from a process that has imported torch already.

Every stage script calls `prepare_stage` before it imports anything heavy. This module imports only Python's standard
library.
"""

import gc
import json
import os
import socket
import struct
import sys
from pathlib import Path

WARM_ADDRESS = "STILTWALK_WARM"
# How OpenMP threads wait for each other; libraries read these variables when they are loaded. By default threads spin
# for milliseconds, which makes training ten times slower if another program needs a core. If they sleep at once,
# training is a seventh slower on an idle machine. With these values GNU's libgomp spins for tens of microseconds first.
# The libraries of Intel and LLVM know only the first variable, and sleep at once.
THREAD_WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}


def prepare_stage() -> None:
    """Set up this process for a stage; where a warm process waits (src/warm.py), run the stage there and exit."""
    if address := os.environ.get(WARM_ADDRESS):
        hand_over(address)
    set_thread_waiting()
    gc.disable()  # until `enable_garbage_collection`: during imports, garbage collection takes more than a second


def set_thread_waiting() -> None:
    """Set how OpenMP threads wait, unless the environment sets it already."""
    for variable, value in THREAD_WAITING.items():
        os.environ.setdefault(variable, value)


def enable_garbage_collection() -> None:
    """Turn garbage collection on, for everything but the modules that are imported by now."""
    gc.freeze()
    gc.enable()


def hand_over(address: str) -> None:
    """Let the warm process run this command line with this process's files, folder and environment; exit as it does.

    Returns if no process listens at the address.
    """
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.connect(address)
        except OSError:
            return
        request = json.dumps({"argv": sys.argv, "cwd": str(Path.cwd()), "env": dict(os.environ)}).encode()
        socket.send_fds(server, [struct.pack("!I", len(request))], [0, 1, 2])
        server.sendall(request)
        status = server.recv(4)
    # No answer means that the server was killed, and the stage with it.
    os._exit(struct.unpack("!i", status)[0] if status else 1)
