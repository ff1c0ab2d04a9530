"""Faults of the place where `dvc exp run` is called, which DVC would report later and without a remedy."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from stiltwalk.utils.errors import InputError


def check_dvc_command(argv: Sequence[str]) -> None:
    """Raise InputError if this process is a `dvc` that cannot run an experiment here.

    argv: its command line. Any other process that composes a configuration needs neither Git nor a certain folder.
    """
    if Path(argv[0]).name != "dvc":
        return
    folder = Path.cwd()
    if not (folder / "dvc.yaml").is_file():
        root = next((parent for parent in folder.parents if (parent / "dvc.yaml").is_file()), None)
        raise InputError(f"{folder} has no dvc.yaml; run dvc exp run in {root or 'the top folder of the repository'}")
    if not str(folder).isascii() and {"--temp", "--queue"} & set(argv):
        raise InputError(
            f"{folder} has letters beyond ASCII, with which DVC's --temp and --queue fail; leave them out, or move the "
            "repository"
        )
    for key in ("name", "email"):
        is_set = all(os.environ.get(f"GIT_{role}_{key.upper()}") for role in ("AUTHOR", "COMMITTER"))
        if not is_set and not subprocess.run(["git", "config", f"user.{key}"], capture_output=True).stdout.strip():
            command = f"git config --global user.{key} ..."
            raise InputError(f"Git has no user.{key}, and experiments are commits; run {command}")
