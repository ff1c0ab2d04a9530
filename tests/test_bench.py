"""The benchmark's rows, and that each way of training and predicting is measured on the same real tokens."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.rows import LENGTHS, LIMITS, make_rows

WORK = Path(__file__).parent.parent / "src" / "bench" / "work.py"


@pytest.mark.parametrize("name", LENGTHS)
def test_made_rows_have_the_lengths_of_the_real_ones(name):
    lengths = make_rows(name, 4000).lengths
    found = np.percentile(lengths, range(0, 101, 5))
    assert lengths.max() <= LIMITS[name]
    np.testing.assert_allclose(found[1:-1], LENGTHS[name][1:-1], rtol=0.06)


@pytest.mark.slow
def test_every_way_is_measured_on_the_same_rows():
    seen = {}
    for way in ("ours", "trainer max length", "trainer by length", "padded", "predict"):
        spec = {"way": way, "precision": "no", "steps": 2, "width": 96, "rows": "nli", "tokenizer": None, "seed": 0}
        done = subprocess.run(
            [sys.executable, str(WORK), json.dumps(spec)],
            env=os.environ | {"TQDM_DISABLE": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        seen[way] = json.loads(done.stdout.splitlines()[-1])
        assert seen[way]["tokens_per_s"] > 0 and seen[way]["peak_bytes"] > 2**28
    assert seen["padded"]["tokens"] == seen["predict"]["tokens"] == make_rows("nli", 11_000).lengths[:64].sum()
    # 64 rows each, other ones for every way: the sum of their lengths is near 64 times the mean.
    for way in ("ours", "trainer max length", "trainer by length"):
        assert 0.75 < seen[way]["tokens"] / (64 * make_rows("nli", 11_000).lengths.mean()) < 1.25, way
