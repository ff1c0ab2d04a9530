"""How cost grows: the slope of known series, that a series measures what its name says, and the slopes themselves."""

import json
import os
import subprocess
import sys

import pytest

from growth import measure_size
from growth_series import Series, fit_slope
from growth_workloads import WORKLOADS, write_rows
from rows import make_rows
from stiltwalk.training.batching import TokenizedRows
from workers import ROOT


@pytest.mark.parametrize("power", [0, 1, 2])
def test_the_slope_is_the_power_of_the_size(power):
    sizes = [10, 100, 1000]
    assert fit_slope(sizes, [3.0 * size**power for size in sizes]) == pytest.approx(power, abs=1e-9)


def test_only_series_over_rows_have_bytes_per_row():
    sizes, seconds, used = [10, 20], [1.0, 2.0], [100, 150]
    rows, orders = (Series(kind, 1.0, False, sizes, seconds, used).to_json() for kind in ("rows", "orders"))
    values = {"expected": 1.0, "sizes": sizes, "seconds": seconds, "bytes": used}
    slopes = {"slope": 1.0, "slope at the end": 1.0}
    assert rows == {"of": "rows", **values, **slopes, "bytes a row": 5.0}
    assert orders == {"of": "orders", **values, **slopes}


def test_rows_have_the_layout_that_the_stages_write(tmp_path):
    write_rows(500, tmp_path / "rows.arrow")
    rows = TokenizedRows.read(tmp_path / "rows.arrow")
    assert rows.batch.schema == make_rows("nli", 2).batch.schema
    assert len(rows) == 500 and sum(map(len, rows.lists("input_ids"))) == rows.lengths.sum()


def test_more_orders_take_more_time_and_memory():
    few, many = (measure_size("orders", size) for size in (10, 2000))
    for name in WORKLOADS["orders"].slopes:
        assert many[name].seconds > 20 * few[name].seconds > 0
    assert 2**24 < few["trie"].bytes < many["trie"].bytes


@pytest.mark.slow
def test_no_cost_grows_faster_than_its_size(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "growth.py"), "--quick"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    series = json.loads((tmp_path / "bench-scale.json").read_text())["series"]
    assert series.keys() == {name for workload in WORKLOADS.values() for name in workload.slopes}
    for name, one in series.items():
        assert one["slope"] < (1.3 if one["expected"] else 0.3), name
    assert max(series["reading a file"]["seconds"]) < 0.01
    assert series["prediction of all rows"]["slope"] > 0.5  # the clock ran
    # A length and a place in the order take 8 bytes each. A row as Python objects would take hundreds.
    assert series["set-up of a training"]["bytes a row"] < 80
    assert all((tmp_path / f"bench-scale.{suffix}").stat().st_size > 10_000 for suffix in ("svg", "png"))
