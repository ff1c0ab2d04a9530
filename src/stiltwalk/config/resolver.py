"""Hydra's way into the configuration: the resolver `derive` of conf/config.yaml.

Hydra imports this module through src/hydra_plugins when `dvc exp run` composes params.yaml (`plugins_path` in
.dvc/config). A bad configuration ends the command in one line, before any stage runs.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stiltwalk.config.credentials import check_credentials
from stiltwalk.config.dvc_command import check_dvc_command
from stiltwalk.config.orders import check_checkpoint_dtype, check_names, check_order, check_seed, check_targets
from stiltwalk.config.plan import make_plan
from stiltwalk.config.records import read_records
from stiltwalk.config.schema import check_fields
from stiltwalk.utils.errors import InputError

DERIVED = {name: f"${{derive:{name}}}" for name in ("valid", "plan")}  # as conf/config.yaml has them
SYNONYMS = {"bucc": "bucc2018"}


def derive(name: str, *, _root_: DictConfig) -> DictConfig | bool:
    """Check the configuration, and return its value `plan` or `valid`.

    `valid` is True. A `plan` that is set by hand never calls this function; `valid` does, and refuses it.
    Ends the program with one line if something is wrong: Hydra and DVC add lines of their own to other exceptions.
    """
    try:
        check_derived(_root_)
        if name == "valid":
            return True
        check_dvc_command(sys.argv)
        check_credentials()
        return OmegaConf.create(make_plan(read_config(_root_)))
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
    except OmegaConfBaseException as error:
        raise SystemExit(f"error: conf/ or -S: {' '.join(str(error).split())}") from None


def check_derived(root: DictConfig) -> None:
    """Raise InputError if a derived value is set or removed. Hydra resolves `valid` first, in the order of the file."""
    raw: Any = OmegaConf.to_container(root, resolve=False)
    if raw.get("plan") != DERIVED["plan"]:
        raise InputError("plan follows from order and targets and cannot be set; set those")
    if raw.get("valid") not in (DERIVED["valid"], True):
        raise InputError("valid follows from the other fields and cannot be set")


def read_config(root: DictConfig) -> dict[str, Any]:
    """Return the configuration with the full records. Raises InputError if a field is wrong."""
    config = plain_config(root)
    if config.get("source") == "world" and "path" in mapping(config.get("encoder")):
        raise InputError(
            f"encoder.path is {config['encoder']['path']}, but a scale in the generated world pretrains its encoder; "
            "add -S scale=small, base or large"
        )
    check_names(names_in(config))
    check_fields(config)
    config["order"] = check_order(plain_order(config["order"]), config["tasks"])
    config["targets"] = check_targets(plain_targets(config["targets"]), config["xtreme"])
    check_seed(config["seed"])
    check_checkpoint_dtype(config["checkpoints"])
    return config


def plain_config(root: DictConfig) -> dict[str, Any]:
    """Return the fields that people set as plain Python values, with the full records of tasks and targets."""
    config = {
        str(name): OmegaConf.to_container(root[name], resolve=True) if OmegaConf.is_config(root[name]) else root[name]
        for name in root
        if name not in DERIVED and name != "hydra"
    }
    for group in ("tasks", "xtreme"):
        config[group] = read_records(group, ConfFolder.path, config.get(group, {}))
    return config


class ConfFolder(SearchPathPlugin):
    """A plugin of Hydra that remembers the folder that Hydra composes from.

    DVC resolves the composed configuration after Hydra has forgotten the folder.
    """

    path: ClassVar[Path] = Path(__file__).parents[3] / "conf"

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Remember the folder, and leave the search path as it is."""
        for element in search_path.get_path():
            if element.provider == "main":
                ConfFolder.path = Path(element.path.removeprefix("file://"))


def plain_order(order: Any) -> Any:
    """Return the order with the task `null` as text: on the command line the word is YAML's null."""
    return ["null" if step is None else step for step in order] if isinstance(order, list) else order


def plain_targets(targets: Any) -> Any:
    """Return the targets under their full names. check_targets reports what is not a list of names."""
    if not isinstance(targets, list):
        return targets
    return [SYNONYMS.get(target, target) if isinstance(target, str) else target for target in targets]


def names_in(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what becomes part of a stage's name, command, path or module, each with its place.

    check_fields reports blocks that are missing or not mappings.
    """
    yield "source", config.get("source")
    yield "encoder.source", mapping(config.get("encoder")).get("source")
    for language in mapping(mapping(config.get("world")).get("languages")):
        yield "a language of world.languages", language
    for group in ("tasks", "xtreme"):
        for name, value in mapping(config[group]).items():
            yield f"a name in {group}", name
            yield from names_in_record(f"{group}.{name}", mapping(value))


def names_in_record(place: str, record: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the names in one record, each with its place."""
    if "kind" in record:
        yield f"{place}.kind", record["kind"]
    languages = record.get("languages")
    for language in languages if isinstance(languages, (list, dict)) else []:
        yield f"{place}.languages", language
    for split, value in mapping(record.get("parts")).items():
        yield f"{place}.parts.{split}", value


def mapping(value: Any) -> dict[str, Any]:
    """Return a mapping, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def register() -> None:
    """Register the resolver with OmegaConf."""
    OmegaConf.register_new_resolver("derive", derive, replace=True)
