"""What a data set's card says: which files hold a split, and which types its columns have."""

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
    """Return the parquet files of a config's split, in order.

    path: name of the repository. files: all of its files. card: its metadata. name: the config.
    The card's `configs` name the files. If it has none, they are `<config>/<split>/*.parquet`, the layout of the hub's
    own conversions (revision refs/convert/parquet), which have no card.
    Raises InputError if there is no such config or split, or if its files are not parquet.
    """
    configs = {config["config_name"]: config.get("data_files", []) for config in card.get("configs", [])}
    if not configs:
        configs = {name: [{"split": split, "path": f"{name}/{split}/*.parquet"}]}
    if name not in configs:
        raise InputError(f"{path} has no config '{name}' (name); {_list_similar(name, configs)}")
    patterns = {str(key): paths for key, paths in sanitize_patterns(configs[name]).items()}
    if split not in patterns:
        raise InputError(f"{path} ({name}) has no split '{split}'; {_list_similar(split, patterns)}")
    matches = sorted(file for file in files if any(fnmatch.fnmatchcase(file, pattern) for pattern in patterns[split]))
    if not matches:
        hint = "" if card.get("configs") else "; if it holds only a loading script, try revision: refs/convert/parquet"
        raise InputError(
            f"{path} has no file for config '{name}' (name), split '{split}' ({', '.join(patterns[split])}){hint}"
        )
    if other := next((file for file in matches if not file.endswith(".parquet")), None):
        raise InputError(f"{path}, {other} is not parquet; try revision: refs/convert/parquet")
    return matches


def column_features(card: dict[str, Any], name: str, file_schema: pa.Schema) -> Features:
    """Return the feature types of a config's columns.

    As in `datasets`, what the card declares takes precedence over the schema of the files.
    """
    infos = card.get("dataset_info") or []
    config_infos = [
        info for info in (infos if isinstance(infos, list) else [infos]) if info.get("config_name", name) == name
    ]
    if config_infos:
        declared = DatasetInfosDict.from_dataset_card_data(DatasetCardData(dataset_info=config_infos[:1]))
        for info in declared.values():
            if info.features:
                return info.features
    return Features.from_arrow_schema(file_schema)


def _list_similar(word: str, known: Iterable[str]) -> str:
    """Describe the known words; of more than eight only the five most similar to `word`."""
    words = list(known)
    if len(words) > 8:
        words = [*difflib.get_close_matches(word, words, 5, 0), f"{len(words) - 5} more"]
    return f"it has {', '.join(words)}"
