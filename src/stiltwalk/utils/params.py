"""params.yaml: a stage reads only the keys that it declares under `params:` in dvc.yaml."""

from pathlib import Path
from typing import Any

import yaml

from stiltwalk.utils.errors import InputError

PARAMS = Path("params.yaml")


def read_params(*keys: str) -> Any:
    """Return the values of dotted keys in params.yaml: one value for one key, a list for several."""
    tree = read_all_params()
    values = [_look_up(tree, key) for key in keys]
    return values[0] if len(keys) == 1 else values


def read_all_params() -> Any:
    """Return the whole of params.yaml."""
    try:
        return read_yaml(PARAMS.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{PARAMS.resolve()} is missing; run this from the repository root") from None
    except yaml.YAMLError as error:
        raise InputError(f"{PARAMS} is not YAML: {' '.join(str(error).split())}") from None


def read_yaml(text: str) -> Any:
    """Parse YAML, with libyaml where it is installed."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _look_up(tree: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(tree, dict) or part not in tree:
            raise InputError(f"{PARAMS} has no '{key}'; `dvc exp run` composes the file anew from conf/")
        tree = tree[part]
    return tree
