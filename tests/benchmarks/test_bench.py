"""The benchmark's rows, and that each way of training and predicting is measured on the same real tokens."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bench_run as run
from bench_rows import LENGTHS, LIMITS, make_rows
from pipeline import shares
from stiltwalk.tasks.tokenized_files import write_batch

WORK = Path(__file__).parents[2] / "benchmarks" / "bench_work.py"


@pytest.mark.parametrize("name", LENGTHS)
def test_made_rows_have_the_lengths_of_the_real_ones(name):
    lengths = make_rows(name, 4000).lengths
    found = np.percentile(lengths, range(0, 101, 5))
    assert lengths.max() <= LIMITS[name]
    np.testing.assert_allclose(found[1:-1], LENGTHS[name][1:-1], rtol=0.06)


def test_an_experiment_is_shared_out_by_what_its_stages_print():
    lines = """1.0 Running stage 'encoder':
1.0 > python src/encoder.py
9.0 encoder: pretrained in 6.5 s
9.5 Updating lock file 'dvc.lock'
9.6
10.0 Running stage 'data@mnli':
10.5 > python src/data.py mnli
11.5 mnli train: 8,000 rows
12.0 mnli validation: 500 rows
12.5
13.0 Running stage 'target@xnli':
13.0 > python src/target.py xnli
20.0 xnli: trained in 3.4 s, 50,810 tokens/s with validation
21.0 xnli: predicted 8 languages from models/3-mnli/encoder in 0.3 s
22.0 Ran experiment(s): some-name
"""
    timed = [(float(line[:4]), line[4:].lstrip()) for line in lines.splitlines()]
    found = shares(timed)
    assert found == {"compute": pytest.approx(6.5 + 3.4 + 0.3), "data": 1.5, "stages": 3}


def test_a_benchmark_that_is_stopped_keeps_its_rounds(monkeypatch, tmp_path, capsys):
    def processes(_):
        names = [f"{count} {name}" for count in ("one process", "two processes") for name, _ in run.PRECISIONS]
        found: dict[str, list[dict[str, int]]] = {name: [] for name in names}
        for rates in ((100, 100, 150, 120), (100, 100, 190, 120), (50, 50, 80, 60)):
            for name, rate in zip(names, rates, strict=True):
                found[name].append({"tokens_per_s": rate})
            yield found
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "processes", processes)
    monkeypatch.setattr(sys, "argv", ["run.py", "--parts", "processes"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run.main()
    kept = json.loads(Path("bench.json").read_text())
    # Of 1.5, 1.9 and 1.6; the medians' would be 1.5.
    assert kept["ratios"] == {"two_processes_float32_vs_one": 1.6, "two_processes_bf16_vs_one": 1.2}
    assert len(kept["measurements"]["processes"]["two processes bf16"]) == 3
    said = capsys.readouterr().out
    assert "two processes float32                    150 tokens/s" in said and said.rstrip().endswith("1.20")


def test_the_table_of_a_width():
    def measured(*rates: int) -> list[dict[str, float]]:
        return [{"tokens_per_s": rate, "peak_bytes": 2**30, "cpu": 2.0, "wall": 1.0} for rate in rates]

    found = {
        "trainer max length": measured(100, 200, 100),
        "train bf16": measured(500, 600, 700),
        "limit bf16": [{"tokens_per_s": rate, "wall": 1.0} for rate in (3000, 3600, 3300)],
        "limit float32": [{"tokens_per_s": rate, "wall": 1.0} for rate in (900, 1000, 1100)],
    }
    ratios, lines = run.of_training(found, "12 x 768, nli rows", "_768")
    assert ratios == {"train_vs_trainer_max_length_768": 5.0, "memory_vs_trainer_768": 1.0}
    assert lines[0] == "12 x 768, nli rows" and len(lines) == 3
    # Three passes to the limit's one: backward is twice forward.
    assert lines[2].split("  ")[-3:] == [" 55% of the limit", "1.00 GiB", "2.00 cores"]


@pytest.mark.parametrize(
    ("status", "said"), [(-9, "killed by signal 9, as where memory runs out"), (1, "OSError: full")]
)
def test_a_way_that_dies_says_of_what(status, said):
    with pytest.raises(SystemExit, match=f"error: ours failed: {said}$"):
        run.fail("ours", "" if status < 0 else "Traceback\nOSError: full\n", status)


@pytest.mark.slow
def test_every_way_is_measured_on_the_same_rows(tmp_path):
    ways = ("ours", "trainer max length", "trainer by length", "padded", "predict", "limit")
    rows, file = make_rows("nli", 11_000), tmp_path / "rows.arrow"
    write_batch(rows.batch, file)
    spec = {"precision": "no", "steps": 2, "width": 96, "rows": "nli", "file": str(file), "seed": 0}
    done = subprocess.run(
        [sys.executable, str(WORK)],
        input="".join(f"{json.dumps({'way': way, **spec})}\n" for way in ways),
        env=os.environ | {"TQDM_DISABLE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ready, *found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"')]
    assert ready == {"ready": True}
    seen = dict(zip(ways, found, strict=True))
    limit = seen.pop("limit")
    assert all(one["tokens_per_s"] > 0 and one["peak_bytes"] > 2**28 for one in seen.values())
    table = {"train bf16": "ours", "trainer max length": "trainer max length", "padded float32": "padded"}
    of_ways = {name: [seen[way]] for name, way in table.items()} | {name: [limit] for name, *_ in run.LIMIT}
    ratios, lines = run.of_training(of_ways, "12 x 96", "_96")
    assert ratios["train_vs_trainer_max_length_96"] > 1 and len(lines) == 4
    assert seen["padded"]["tokens"] == seen["predict"]["tokens"] == rows.lengths[:64].sum()
    # 64 rows each, other ones for every way: the sum of their lengths is near 64 times the mean.
    for way in ("ours", "trainer max length", "trainer by length"):
        assert 0.75 < seen[way]["tokens"] / (64 * rows.lengths.mean()) < 1.25, way
