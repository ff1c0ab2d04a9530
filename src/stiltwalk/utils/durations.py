"""How long each stage took on this machine. `src/sweep.py plan` estimates costs from it; no result depends on it.

One JSON line per stage, in .dvc/tmp/times.jsonl or the file that STILTWALK_TIMES names.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FILE, VARIABLE = Path(".dvc/tmp/times.jsonl"), "STILTWALK_TIMES"


def digest_of_work(params: dict[str, Any], script: str, names: Sequence[str]) -> str:
    """Return a digest of everything that decides a stage's duration, apart from the machine.

    The seed and the position of a step in its order do not count.

    params: the contents of params.yaml. names: the arguments of the script (a step, a mixture, targets, or none).
    """
    plan = params["plan"]
    mixtures = [plan["steps"][name]["mixture"] if name in plan["steps"] else name for name in names]
    blocks = [plan["mixtures"].get(name) or plan["targets"].get(name) for name in mixtures]
    text = json.dumps([script, mixtures, blocks, params["encoder"], params["world"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def record_duration(params: dict[str, Any], script: str, names: Sequence[str], seconds: float) -> None:
    """Append how long a stage took, without the start of its process; do nothing outside a DVC repository."""
    path = Path(os.environ.get(VARIABLE, FILE))
    if path.parent.is_dir():
        work = digest_of_work(params, script, names)
        record = {"script": script, "name": " ".join(names), "work": work, "seconds": round(seconds, 2)}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
