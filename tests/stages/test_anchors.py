"""`make anchors`: what it sets composes, and what it prints are the scores of the run beside the published ones."""

import re
import shlex
import subprocess
from pathlib import Path

import anchors
from laboratory import ROOT, compose
from stiltwalk.utils.stage import write_json


def test_an_untrained_encoder_stands_beside_the_published_scores(tmp_path, monkeypatch, capsys):
    recipe = subprocess.run(["make", "-n", "anchors"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (line,) = re.findall(r"dvc exp run (.*)", recipe.replace("\\\n", " "))
    monkeypatch.chdir(tmp_path)
    for language in ("de", "fr", "ru", "zh"):
        for part in ("dev", "test"):
            for end in (language, "en", "gold"):
                path = Path(f"data/own/bucc2018/{language}-en.{part}.{end}")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    params = compose(Path("params.yaml"), *(word for word in shlex.split(line) if word != "-S"))
    assert params["order"] == [] and params["final"] == "models/encoder"
    bucc = params["benchmark"]["bucc2018"]
    assert bucc["data"]["parts"] == {"validation": "dev", "test": "dev"} and bucc["task"]["max_length"] == 256

    write_json({"layer": 14, "de": {"dev_f1": 70.0}, "zh": {"dev_f1": 60.0}}, Path("metrics/targets/bucc2018.json"))
    write_json({"layer": 14}, Path("metrics/targets/tatoeba.json"))
    scores = {"languages": {"sw": {"accuracy": 10.0}, "xx": {"accuracy": 50.0}}}
    write_json(scores, Path("metrics/scores/tatoeba.json"))
    monkeypatch.setattr(anchors, "PUBLISHED", ROOT / "conf/anchors.yaml")
    anchors.main()
    said = capsys.readouterr().out.splitlines()
    assert "bucc2018, hidden state 14 (dev)" in said and "tatoeba, hidden state 14" in said
    assert [line.split() for line in said if line.startswith(("de", "zh", "mean"))] == [
        ["de", "70.0", "77.7"],
        ["zh", "60.0", "66.5"],
        ["mean", "65.0", "72.1"],
        ["mean", "30.0", "7.9"],
    ]
