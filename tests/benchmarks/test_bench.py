"""The benchmark: its rows, its table, and that every method is measured on the same real tokens."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import bench
from methods import LIMITS, PRECISIONS
from pipeline import ExperimentTime, divide_time
from rows import SOURCES, RowsName, make_rows
from stiltwalk.tasks.base_data.token_files import write_batch
from stiltwalk.utils.process import THREAD_WAITING
from summary import Measurements, summarise_width
from workers import MEASURE, PEERS, Request, environment_for, fail


@pytest.mark.parametrize("name", SOURCES)
def test_generated_rows_have_the_lengths_of_the_real_ones(name: RowsName):
    lengths = make_rows(name, 4000).lengths
    percentiles = np.percentile(lengths, range(0, 101, 5))
    assert lengths.max() <= SOURCES[name].max_length
    np.testing.assert_allclose(percentiles[1:-1], SOURCES[name].lengths[1:-1], rtol=0.06)


def test_the_time_of_an_experiment_is_divided_by_what_its_stages_print():
    text = """1.0 Running stage 'encoder':
1.0 > exec python src/encoder.py
2.5 encoder: drew 24,000 documents in 1.5 s
9.0 encoder: pretrained in 6.5 s
9.5 Updating lock file 'dvc.lock'
9.6
10.0 Running stage 'data@mnli':
10.5 > exec python src/data.py mnli
11.5 mnli train: 8,000 rows
12.0 mnli validation: 500 rows
12.2 mnli: 400,000 tokens
12.5
12.6 Running stage 'retention@1-mnli':
12.7 > exec python src/retention.py 1-mnli
12.8 1-mnli: predicted with 1 heads in 0.1 s
12.8 1-mnli: 1-mnli {'mnli': {'accuracy': 74.2}}
12.9
13.0 Running stage 'target@xnli':
13.0 > exec python src/target.py xnli
20.0 xnli: trained in 3.4 s, 50,810 tokens/s with validation
21.0 xnli: predicted 8 tests from models/3-mnli/encoder in 0.3 s
22.0 Ran experiment(s): some-name
"""
    lines = [(float(line[:4]), line[4:].lstrip()) for line in text.splitlines()]
    seconds = divide_time(lines, wall=22.5)
    compute, data = 6.5 + 0.1 + 3.4 + 0.3, 1.5 + 1.7
    assert seconds == ExperimentTime(seconds.compute, seconds.data, stages=4, wall=22.5)
    assert (seconds.compute, seconds.data) == pytest.approx((compute, data))
    assert seconds.overhead == pytest.approx(22.5 - compute - data)


def test_a_benchmark_that_is_stopped_keeps_its_rounds(monkeypatch, tmp_path, capsys):
    def measure_processes(_: bench.Options) -> Iterator[Measurements]:
        names = [f"{count} {name}" for count in ("one process", "two processes") for name in PRECISIONS]
        measurements: Measurements = {name: [] for name in names}
        for rates in ((100, 100, 150, 120), (100, 100, 190, 120), (50, 50, 80, 60)):
            for name, rate in zip(names, rates, strict=True):
                measurements[name].append({"tokens_per_s": rate})
            yield measurements
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "measure_processes", measure_processes)
    monkeypatch.setattr(sys, "argv", ["bench.py", "--parts", "processes"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        bench.main(bench.parse_options())
    kept = json.loads(Path("bench.json").read_text())
    assert list(kept) == ["machine", "rows", "rounds", "real_rows", "ratios", "measurements"]
    # The ratios of the rounds are 1.5, 1.9 and 1.6. The ratio of the medians would be 1.5.
    assert kept["ratios"] == {"two_processes_float32_vs_one": 1.6, "two_processes_bf16_vs_one": 1.2}
    assert len(kept["measurements"]["processes"]["two processes bf16"]) == 3
    output = capsys.readouterr().out
    assert "two processes float32                    150 tokens/s" in output and output.rstrip().endswith("1.20")


def test_the_table_of_a_width():
    def measured(*rates: int) -> list[dict[str, float]]:
        return [{"tokens_per_s": rate, "peak_bytes": 2**30, "cpu": 2.0, "wall": 1.0} for rate in rates]

    measurements = {
        "trainer max length": measured(100, 200, 100),
        "train bf16": measured(500, 600, 700),
        "limit bf16": [{"tokens_per_s": rate, "wall": 1.0} for rate in (3000, 3600, 3300)],
        "limit float32": [{"tokens_per_s": rate, "wall": 1.0} for rate in (900, 1000, 1100)],
    }
    summary = summarise_width(measurements, "12 x 768, nli rows", "_768")
    assert summary.ratios == {"train_vs_trainer_max_length_768": 5.0, "memory_vs_trainer_768": 1.0}
    assert summary.lines[0] == "12 x 768, nli rows" and len(summary.lines) == 3
    # Training has three times the products of a forward pass: the backward pass has two thirds of them.
    assert summary.lines[2].split("  ")[-3:] == [" 55% of the limit", "1.00 GiB", "2.00 cores"]


@pytest.mark.parametrize(
    ("status", "reason"), [(-9, "killed by signal 9, perhaps because memory ran out"), (1, "OSError: full")]
)
def test_a_failed_measurement_says_why(status, reason):
    with pytest.raises(SystemExit, match=f"error: train failed: {reason}$"):
        fail("train", "" if status < 0 else "Traceback\nOSError: full\n", status)


def test_only_the_threads_of_stiltwalk_wait_as_in_its_stages(monkeypatch):
    for name in THREAD_WAITING:
        monkeypatch.setenv(name, "set by the user")
    assert not THREAD_WAITING.keys() & environment_for(PEERS[0]).keys()
    assert all(environment_for("train")[name] == "set by the user" for name in THREAD_WAITING)
    for name in THREAD_WAITING:
        monkeypatch.delenv(name)
    assert not THREAD_WAITING.keys() & environment_for(PEERS[0]).keys()
    assert environment_for("train").items() >= THREAD_WAITING.items()


@pytest.mark.slow
def test_every_method_is_measured_on_the_same_rows(tmp_path):
    methods = ("train", "trainer max length", "trainer by length", "padded", "predict", "limit")
    rows, file = make_rows("nli", 11_000), tmp_path / "rows.arrow"
    write_batch(rows.batch, file)
    requests = [Request(method, width=96, steps=2, file=str(file)) for method in methods]
    done = subprocess.run(
        [sys.executable, str(MEASURE)],
        input="".join(f"{request.to_json()}\n" for request in requests),
        env=environment_for("train"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ready, *answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"')]
    assert ready == {"ready": True}
    measured = dict(zip(methods, answers, strict=True))
    limit = measured.pop("limit")
    assert all(one["tokens_per_s"] > 0 and one["peak_bytes"] > 2**28 for one in measured.values())
    names = {"train bf16": "train", "trainer max length": "trainer max length", "padded float32": "padded"}
    measurements = {name: [measured[method]] for name, method in names.items()}
    measurements |= {method.name: [limit] for method in LIMITS}
    summary = summarise_width(measurements, "12 x 96", "_96")
    assert summary.ratios["train_vs_trainer_max_length_96"] > 1 and len(summary.lines) == 4
    assert measured["padded"]["tokens"] == measured["predict"]["tokens"] == rows.lengths[:64].sum()
    # Every method trains on 64 other rows: the sum of their lengths is near 64 times the mean.
    for method in ("train", "trainer max length", "trainer by length"):
        assert 0.75 < measured[method]["tokens"] / (64 * rows.lengths.mean()) < 1.25, method
