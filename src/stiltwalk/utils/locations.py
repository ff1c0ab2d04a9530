"""Files and folders that several parts of the pipeline share."""

import json
from pathlib import Path
from typing import Any

WORLD = Path("data/world.json")
TOKENIZER = Path("models/tokenizer")  # of the encoder, for data stages
# Saved states of stopped trainings (models/resume.py), and the variable that overrides the folder.
RESUME_FOLDER, RESUME_VARIABLE = Path(".dvc/tmp/resume"), "STILTWALK_RESUME"


def read_world() -> Any:
    """Return what the stage `world` wrote: seed and languages of the generated world, or None on real data."""
    return json.loads(WORLD.read_text(encoding="utf-8"))
