"""Where a data set's card says that a config's split lies, and of what type its columns are."""

import difflib
import fnmatch
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
from datasets import Features
from datasets.data_files import sanitize_patterns
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCardData

from stiltwalk.utils.errors import InputError


def split_files(path: str, files: Iterable[str], card: dict[str, Any], name: str, split: str) -> list[str]:
    """The parquet files of a config's split, in order: as the card's `configs` say, else `<config>/<split>/*.parquet`.

    The latter is the layout of the hub's own conversions (revision refs/convert/parquet), which have no card.
    Raises InputError if there is no such config or split, or if it is not parquet.
    """
    configs = {config["config_name"]: config.get("data_files", []) for config in card.get("configs", [])}
    if not configs:
        configs = {name: [{"split": split, "path": f"{name}/{split}/*.parquet"}]}
    if name not in configs:
        raise InputError(f"{path} has no config '{name}' (name); {_similar(name, configs)}")
    patterns = {str(of): paths for of, paths in sanitize_patterns(configs[name]).items()}
    if split not in patterns:
        raise InputError(f"{path} ({name}) has no split '{split}'; {_similar(split, patterns)}")
    found = sorted(file for file in files if any(fnmatch.fnmatchcase(file, pattern) for pattern in patterns[split]))
    if not found:
        raise InputError(
            f"{path} has no file for config '{name}' (name), split '{split}' ({', '.join(patterns[split])})"
        )
    if other := next((file for file in found if not file.endswith(".parquet")), None):
        raise InputError(f"{path}, {other} is not parquet; try revision: refs/convert/parquet")
    return found


def features(card: dict[str, Any], name: str, on_disk: pa.Schema) -> Features:
    """Feature types of a config's columns: as in `datasets`, what its card declares goes before what the file says."""
    infos = card.get("dataset_info") or []
    of_name = [
        info for info in (infos if isinstance(infos, list) else [infos]) if info.get("config_name", name) == name
    ]
    declared = DatasetInfosDict.from_dataset_card_data(DatasetCardData(dataset_info=of_name[:1])) if of_name else {}
    info = next(iter(declared.values()), None)
    return (info and info.features) or Features.from_arrow_schema(on_disk)


def _similar(word: str, known: Iterable[str]) -> str:
    words = list(known)
    shown = words if len(words) <= 8 else [*difflib.get_close_matches(word, words, 5, 0), f"{len(words) - 5} more"]
    return f"it has {', '.join(shown)}"
