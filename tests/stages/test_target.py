"""One tuning that serves two targets: each is predicted as if it were tuned alone."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml

import target
from conftest import reset_accelerate
from laboratory import ROOT, compose
from stiltwalk.tasks.base_data.kind_rows import load_rows
from stiltwalk.tasks.base_data.row_tokenizer import SubwordTokenizer
from stiltwalk.tasks.base_data.token_files import tokenize_folder

NOUNS = ("cat", "dog", "house")
LENGTHS = {"max_length": 32, "doc_stride": 8, "max_query_length": 8, "max_answer_length": 4, "n_best": 5}
OPTIONS: dict[str, Any] = {"kind": "qa", "labels": [], **LENGTHS}


def questions(count: int, seed: int) -> pa.Table:
    """Who sees the cat, of who sees which noun."""
    rng, rows = np.random.default_rng(seed), []
    for number in range(count):
        one, other = rng.permutation(NOUNS)[:2]
        context = f"Anna sees the {one} . Ben sees the {other} ."
        who, noun = (("Anna", one), ("Ben", other))[rng.integers(2)]
        answers = {"text": [who], "answer_start": [context.index(who)]}
        rows.append(
            {"id": f"{seed}-{number}", "context": context, "question": f"who sees the {noun} ?", "answers": answers}
        )
    return pa.Table.from_pylist(rows, load_rows("qa").schema)


@pytest.fixture
def project(tmp_path: Path, toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Data of XQuAD and MLQA, the same to tune on and other rows to validate and test on."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(toy_folder, "models/0-encoder/encoder")
    for name, seed in (("xquad", 1), ("mlqa", 2)):
        rows = tmp_path / "data/xtreme" / name
        rows.mkdir(parents=True)
        load_rows("qa").write(questions(40, 0), rows / "train.parquet")
        load_rows("qa").write(questions(12, seed), rows / "validation.parquet")
        for language in ("en", "de"):
            load_rows("qa").write(questions(9, seed + len(language)), rows / f"test-{language}.parquet", gold=False)
        tokenize_folder(rows, OPTIONS, SubwordTokenizer(toy_folder))
    yield tmp_path
    reset_accelerate()


def run(chosen: list[str], precision: str) -> dict[str, bytes]:
    """The files that tuning for these targets writes."""
    training = yaml.safe_load((ROOT / "conf/scale/mini.yaml").read_text())["training"]
    training |= {"epochs": 20, "learning_rate": 0.003, "evaluations": 1, "mixed_precision": precision}
    plan: dict[str, Any] = {"final": "0-encoder", "targets": {chosen[0]: {"training": training, "task": OPTIONS}}}
    block = "tuning_pairs" if chosen[1:] else "tunings"
    plan[block] = {"+".join(chosen): {"seed_name": "xquad"}}
    Path("params.yaml").write_text(yaml.safe_dump({"seed": 3, "plan": plan}))
    for folder in ("predictions", "metrics"):
        shutil.rmtree(folder, ignore_errors=True)
    target.main(*chosen)
    reset_accelerate()
    paths = [path for folder in ("predictions", "metrics/targets") for path in Path(folder).rglob("*.json")]
    return {str(path): path.read_bytes() for path in paths}


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_one_tuning_for_two_targets_equals_two_tunings(project: Path, precision: str):
    if precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no bfloat16")
    both = run(["xquad", "mlqa"], precision)
    assert sorted(both) == [
        *("metrics/targets/mlqa.json", "metrics/targets/xquad.json"),
        *(f"predictions/{name}/test-{language}.json" for name in ("mlqa", "xquad") for language in ("de", "en")),
    ]
    for name, seed in (("xquad", 3), ("mlqa", 4)):
        assert list(json.loads(both[f"predictions/{name}/test-en.json"])) == [f"{seed}-{number}" for number in range(9)]
        assert set(json.loads(both[f"metrics/targets/{name}.json"])) - {"flags"} == {name}
    assert run(["xquad"], precision) | run(["mlqa"], precision) == both


def test_targets_with_the_same_rows_to_tune_on_are_tuned_once(tmp_path: Path):
    def tunings(*overrides: str) -> dict[str, tuple[str, list[str]]]:
        plan = compose(tmp_path / "params.yaml", "order=[]", *overrides)["plan"]
        single = {key: (one["seed_name"], [key]) for key, one in plan["tunings"].items()}
        return single | {key: (one["seed_name"], key.split("+")) for key, one in plan["tuning_pairs"].items()}

    chosen = "targets=[mlqa,tatoeba,xnli,xquad]"  # in any order
    apart = {name: (name, [name]) for name in ("mlqa", "xnli", "xquad")}
    once = {"xnli": apart["xnli"], "xquad+mlqa": ("xquad", ["xquad", "mlqa"])}
    for scale in ("small", "base", "large"):
        assert tunings(f"scale={scale}", chosen) == once
    assert tunings("scale=base", chosen, "++xtreme.xquad.training.prediction_tokens=64") == once
    assert tunings("scale=base", "targets=[mlqa]") == {"mlqa": ("xquad", ["mlqa"])}
    assert tunings(chosen) == apart  # the generated world makes new rows for every target
    # Other settings, other rows, or a checkpoint that a target's own validation rows choose or repeat.
    own = ("xtreme.mlqa.training.epochs=1", "+xtreme.mlqa.sample.train=9", "xtreme.mlqa.training.keep=best")
    for override in (*own, "training.retries=1"):
        assert tunings("scale=base", chosen, override) == apart
