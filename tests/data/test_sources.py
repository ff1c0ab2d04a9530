"""The sources of rows, by name."""

import subprocess
import sys
from pathlib import Path

import pytest

from stiltwalk.tasks.base_data.sources import MODULES, load_source

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", MODULES)
def test_every_source_reads_rows_and_pairs(name: str):
    source = load_source(name)
    assert callable(source.read) and callable(source.read_pairs)


IMPORTED = """
import sys
from stiltwalk.tasks.base_data.sources import MODULES, load_source
from stiltwalk.tasks.base_data.kind_rows import load_rows

load_source(sys.argv[1])
load_rows("pair")
print(*(name for name, module in MODULES.items() if module in sys.modules))
print("datasets" in sys.modules)
print(*(name for name in sys.modules if name.startswith("stiltwalk.tasks.") and name.endswith(".rows")))
"""


@pytest.mark.parametrize("name", MODULES)
def test_only_the_chosen_source_and_kind_are_imported(name: str):
    """`datasets`, which takes long to import, is needed for the hub alone."""
    command = [sys.executable, "-c", IMPORTED, name]
    done = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": "src"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [name, str(name == "hub"), "stiltwalk.tasks.pair.data.rows"]
