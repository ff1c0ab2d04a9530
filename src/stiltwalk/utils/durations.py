"""How long stages took on this machine: what the cost of a sweep is predicted from. No output, and in no result.

A line of JSON a stage, in .dvc/tmp/times.jsonl or where STILTWALK_TIMES says.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

FILE, VARIABLE = Path(".dvc/tmp/times.jsonl"), "STILTWALK_TIMES"


def work(params: dict[str, Any], script: str, name: str) -> str:
    """A digest of all that a stage's time depends on, but the machine: not the seed, nor where in an order it stands.

    params: params.yaml. name: of the step or target that the script is called for, or nothing.
    """
    if name in params["chain"]:
        name = params["chain"][name]["mixture"]
    own = params["mixtures"].get(name) or params["benchmark"].get(name)
    if script == "target.py":
        own = [params["benchmark"][target] for target in params["tunings"][name]["targets"]]
    text = json.dumps([script, name, own, params["encoder"], params["world"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def note(params: dict[str, Any], script: str, name: str, seconds: float) -> None:
    """Add what a stage took, the start of its process apart, to the record; nothing where there is no place for it."""
    path = Path(os.environ.get(VARIABLE, FILE))
    if path.parent.is_dir():
        told = {"script": script, "name": name, "work": work(params, script, name), "seconds": round(seconds, 2)}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")
