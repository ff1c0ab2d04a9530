"""Curves of a training: loss, learning rate, gradient norm and validation scores by step, as DVC plots them."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dvclive import Live

from stiltwalk.models.resume import Resume
from stiltwalk.utils.files import atomic_dir


@contextlib.contextmanager
def record_curves(curves: Path, resume: Resume) -> Iterator[Live | None]:
    """Yield DVCLive for one training, or None in other processes than the main one; then write one TSV file per curve.

    A resumed training continues its curves. No times are recorded: the same training writes the same bytes.

    curves: the folder to write. resume: saves the curves together with the state of the training.
    """
    if int(os.environ.get("RANK", 0)):
        yield None
        return
    with tempfile.TemporaryDirectory() as folder, atomic_dir(curves) as out:
        resumed, resume.curves_folder = resume.restore_curves(Path(folder)), Path(folder)
        yield Live(folder, resume=resumed, save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False)
        shutil.copytree(Path(folder) / "plots" / "metrics", out, dirs_exist_ok=True)
