"""Where a user's own rows lie."""

from pathlib import Path

FOLDER = Path("data/own")


def own_file(task: str, kind: str, split: str) -> Path:
    """data/own/<task>/<split>.tsv, and of questions on texts, in SQuAD's layout, .json."""
    return FOLDER / task / f"{split}.{'json' if kind == 'qa' else 'tsv'}"
