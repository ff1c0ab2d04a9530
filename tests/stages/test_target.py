"""A tuning that serves two targets: both are predicted, and each as if it were tuned alone."""

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
from stiltwalk.tasks.base_tokenize import Tokens
from stiltwalk.tasks.tables import schema, write_table
from stiltwalk.tasks.tokenized_files import encode_folder

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
    return pa.Table.from_pylist(rows, schema("qa"))


@pytest.fixture
def project(tmp_path: Path, toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Data of XQuAD and MLQA, the same to tune on and other rows to validate and test on."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(toy_folder, "models/encoder")
    for name, seed in (("xquad", 1), ("mlqa", 2)):
        rows = tmp_path / "data/xtreme" / name
        rows.mkdir(parents=True)
        write_table(questions(40, 0), rows / "train.parquet", "qa")
        write_table(questions(12, seed), rows / "validation.parquet", "qa")
        for language in ("en", "de"):
            write_table(questions(9, seed + len(language)), rows / f"test-{language}.parquet", "qa", gold=False)
        encode_folder(rows, tmp_path / "data/encoded/xtreme" / name, OPTIONS, Tokens(toy_folder))
    yield tmp_path
    reset_accelerate()


def run(chosen: list[str], precision: str) -> dict[str, bytes]:
    """The files that tuning for these targets writes."""
    training = yaml.safe_load((ROOT / "conf/scale/mini.yaml").read_text())["training"]
    training |= {"epochs": 20, "learning_rate": 0.003, "evaluations": 1, "mixed_precision": precision}
    params = {"seed": 3, "final": "models/encoder", "tunings": {chosen[0]: {"targets": chosen}}}
    params |= {"benchmark": {chosen[0]: {"tuned_as": "xquad", "training": training, "task": OPTIONS}}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    for folder in ("predictions", "metrics"):
        shutil.rmtree(folder, ignore_errors=True)
    target.main(chosen[0])
    reset_accelerate()
    paths = [path for folder in ("predictions", "metrics/targets") for path in Path(folder).rglob("*.json")]
    return {str(path): path.read_bytes() for path in paths}


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_tuning_for_two_targets_is_that_of_each(project: Path, precision: str):
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
        found = compose(tmp_path / "params.yaml", "order=[]", *overrides)
        return {key: (found["benchmark"][key]["tuned_as"], one["targets"]) for key, one in found["tunings"].items()}

    chosen = "targets=[mlqa,tatoeba,xnli,xquad]"  # in any order
    apart = {name: (name, [name]) for name in ("mlqa", "tatoeba", "xnli", "xquad")}
    once = {name: apart[name] for name in ("tatoeba", "xnli")} | {"xquad": ("xquad", ["xquad", "mlqa"])}
    for scale in ("small", "base", "large"):
        assert tunings(f"scale={scale}", chosen) == once
    assert tunings("scale=base", chosen, "++xtreme.xquad.training.prediction_tokens=64") == once
    assert tunings("scale=base", "targets=[mlqa]") == {"mlqa": ("xquad", ["mlqa"])}
    assert tunings(chosen) == apart  # rows of the generated world are each target's own
    # Another setting, other rows, or a checkpoint that is chosen, or tried again, by a target's own validation.
    own = ("xtreme.mlqa.training.epochs=1", "+xtreme.mlqa.sample.train=9", "xtreme.mlqa.training.keep=best")
    for override in (*own, "training.retries=1"):
        assert tunings("scale=base", chosen, override) == apart
