"""How cost grows: the slope of known series, that every series is of what its name says, and the slopes themselves."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench_rows import make_rows
from growth import GROWTHS, measured, slope, write_rows
from stiltwalk.training.batching import Encoded

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "growth.py"


@pytest.mark.parametrize("power", [0, 1, 2])
def test_the_slope_is_the_power_of_the_size(power):
    sizes = [10, 100, 1000]
    assert slope(sizes, [3.0 * size**power for size in sizes]) == pytest.approx(power, abs=1e-9)


def test_rows_are_in_the_layout_that_the_stages_write(tmp_path):
    write_rows(500, tmp_path / "rows.arrow")
    rows = Encoded.read(tmp_path / "rows.arrow")
    assert rows.batch.schema == make_rows("nli", 2).batch.schema
    assert len(rows) == 500 and sum(map(len, rows.lists("input_ids"))) == rows.lengths.sum()


def test_more_orders_take_more_time_and_memory_in_a_process_of_their_own():
    few, many = (measured("orders", size) for size in (10, 2000))
    for name in GROWTHS["orders"].slopes:
        assert many[name]["seconds"] > 20 * few[name]["seconds"] > 0
    assert 2**24 < few["trie"]["bytes"] < many["trie"]["bytes"]


@pytest.mark.slow
def test_nothing_costs_more_than_in_proportion(tmp_path):
    done = subprocess.run([sys.executable, str(SCRIPT), "--quick"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    series = json.loads((tmp_path / "bench-scale.json").read_text())["series"]
    assert series.keys() == {name for growth in GROWTHS.values() for name in growth.slopes}
    for name, found in series.items():
        assert found["slope"] < (1.3 if found["expected"] else 0.3), name
    assert max(series["reading a file"]["seconds"]) < 0.01
    assert series["prediction of all rows"]["slope"] > 0.5  # the clock was on
    # A length and a place in the order, 8 bytes each; a row as objects of Python would be hundreds.
    assert series["set-up of a training"]["bytes a row"] < 80
    assert all((tmp_path / f"bench-scale.{suffix}").stat().st_size > 10_000 for suffix in ("svg", "png"))
