"""`make anchors`: its overrides compose, and it prints the scores of the run beside the published ones."""

import re
import shlex
import subprocess
from itertools import product
from pathlib import Path

import pytest

import anchors
from laboratory import ROOT, compose
from stiltwalk.config.orders import PRETRAINED
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.files import write_json


def test_scores_without_training_are_printed_beside_published_scores(tmp_path, monkeypatch, capsys):
    recipe = subprocess.run(["make", "-n", "anchors"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (line,) = re.findall(r"dvc exp run (.*)", recipe.replace("\\\n", " "))
    monkeypatch.chdir(tmp_path)
    Path("data/own/bucc2018").mkdir(parents=True)
    for language, part in product(("de", "fr", "ru", "zh"), ("dev", "test")):
        for suffix in (language, "en", "gold"):
            Path(f"data/own/bucc2018/{language}-en.{part}.{suffix}").touch()
    params = compose(Path("params.yaml"), *(word for word in shlex.split(line) if word != "-S"))
    assert params["order"] == [] and params["plan"]["final"] == PRETRAINED
    bucc = params["plan"]["targets"]["bucc2018"]
    assert bucc["data"]["parts"] == {"validation": "dev", "test": "dev"} and bucc["task"]["max_length"] == 256

    write_json({"layer": 14, "de": {"dev_f1": 70.0}, "zh": {"dev_f1": 60.0}}, Path("metrics/targets/bucc2018.json"))
    write_json({"layer": 14}, Path("metrics/targets/tatoeba.json"))
    scores = {"languages": {"sw": {"accuracy": 10.0}, "xx": {"accuracy": 50.0}}}
    write_json(scores, Path("metrics/scores/tatoeba.json"))
    monkeypatch.setattr(anchors, "PUBLISHED", ROOT / "conf/anchors.yaml")
    with pytest.raises(InputError, match="the last run did not finish, so its scores are of an earlier one"):
        anchors.main()
    monkeypatch.setattr(anchors, "read_workspace", lambda: "a finished run")
    anchors.main()
    lines = capsys.readouterr().out.splitlines()
    assert "bucc2018, hidden state 14 (dev)" in lines and "tatoeba, hidden state 14" in lines
    assert [line.split() for line in lines if line.startswith(("de", "zh", "mean"))] == [
        ["de", "70.0", "77.7"],
        ["zh", "60.0", "66.5"],
        ["mean", "65.0", "72.1"],
        ["mean", "10.0", "7.9"],
    ]


def test_tuned_targets_are_printed_beside_published_scores_of_the_same_encoder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_json({"averages": {"avg_f1": 61.25, "avg_precision": 1.0}}, Path("metrics/scores/panx.json"))
    write_json({"averages": {"avg_accuracy": 75.04}}, Path("metrics/scores/xnli.json"))
    anchors.print_tuned({"xnli": {"mmbert": 74.6, "xlm-align": 75.0}, "panx": {"mmbert": 61.4}, "pawsx": {}})
    assert capsys.readouterr().out.splitlines()[1:] == [
        "target        ours   published",
        "xnli          75.0   74.6 (mmbert), 75.0 (xlm-align)",
        "panx          61.2   61.4 (mmbert)",
    ]
