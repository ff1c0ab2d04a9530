"""Records of tasks and targets: conf/tasks.yaml and conf/xtreme.yaml, with the overrides of a scale and of `-S`.

Hydra does not compose these files, so that params.yaml, which DVC parses around every stage, holds only what an
experiment uses.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from stiltwalk.utils.errors import InputError

FILES = {"tasks": "tasks.yaml", "xtreme": "xtreme.yaml"}


def read_records(group: str, folder: Path, overrides: Any) -> Any:
    """Return the records of a group (`tasks` or `xtreme`) by name.

    folder: conf/. overrides: what the composed configuration has under the group.

    Anything that is not a mapping is returned as it is, for the schema to refuse.
    Raises InputError if the file is missing or not YAML.
    """
    path = folder / FILES[group]
    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    records = content.get(group) if isinstance(content, dict) else content
    return merge(records, overrides) if isinstance(records, Mapping) else records


def merge(base: Any, overrides: Any) -> Any:
    """Merge nested mappings; any other value of the overrides replaces the base's."""
    if not isinstance(base, Mapping) or not isinstance(overrides, Mapping):
        return overrides
    merged = dict(base)
    for key, value in overrides.items():
        merged[key] = merge(base[key], value) if key in base else value
    return merged
