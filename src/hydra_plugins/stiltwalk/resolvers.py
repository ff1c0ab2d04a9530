"""Resolvers that turn `order` and `targets` into what dvc.yaml iterates over.

Hydra imports this module when `dvc exp run` composes params.yaml (`plugins_path` in .dvc/config). Every block that a
stage depends on holds all the facts that the stage uses and no others: one changed fact reruns only what uses it.
"""

from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from common.errors import InputError
from planning.order import chain, check_order, check_seed, check_targets, checkpoints
from training.settings import Settings

SCORE_SLOTS = 12  # dvc.yaml lists the summary's inputs one by one: `deps:` takes no list from a template


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _checked(check: Callable[..., Any], *values: Any) -> Any:
    """A bad value ends `dvc exp run` in one line; other exceptions get lines of OmegaConf and DVC around."""
    try:
        return check(*values)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None


def _order(order: Any, root: DictConfig) -> list[str]:
    return _checked(check_order, _plain(order), root.tasks)


def _targets(targets: Any, root: DictConfig) -> list[str]:
    names = _checked(check_targets, _plain(targets), root.xtreme)
    if len(names) > SCORE_SLOTS:
        raise SystemExit(
            f"error: targets has {len(names)} targets; dvc.yaml's summary stage has room for {SCORE_SLOTS}"
        )
    return names


def _data(record: dict[str, Any], root: DictConfig) -> dict[str, Any]:
    """What the data stage of a task reads: where its rows come from and how many to take."""
    facts: dict[str, Any] = {key: record[key] for key in ("kind", "labels", "languages") if key in record}
    facts |= {"source": root.source, "sample": _plain(root.sample) | record.get("sample", {})}
    if root.source == "world":
        if "languages" in facts:  # the world's own, in place of XTREME's
            facts["languages"] = [*([] if record["kind"] == "retrieval" else ["en"]), *root.world.languages]
        return facts
    return facts | {split: record[split] for split in ("train", "validation", "test") if split in record}


def _training(own: dict[str, Any], name: str, root: DictConfig) -> dict[str, Any]:
    """The hyper-parameters of one training: the scale's, and in their place those of its own."""
    settings = _plain(root.training) | own
    _checked(Settings.read, settings, name)
    return settings


def _encoding(record: dict[str, Any], root: DictConfig) -> dict[str, Any]:
    """What the training of a task reads besides the hyper-parameters: its kind, labels and the kind's options."""
    options = _plain(root.kinds[record["kind"]]) | record.get("options", {})
    return {"kind": record["kind"], "labels": record.get("labels", []), **options}


def resolve_chain(order: Any, _root_: DictConfig) -> DictConfig:
    """`chain`: a block for every step (see planning.order.chain)."""
    kinds = {name: record["kind"] for name, record in _root_.tasks.items()}
    return OmegaConf.create(chain(_order(order, _root_), kinds))


def resolve_final(order: Any, _root_: DictConfig) -> str:
    """`final`: the checkpoint that the targets start from."""
    _checked(check_seed, _root_.seed)
    return checkpoints(_order(order, _root_))[-1]


def resolve_mixtures(order: Any, _root_: DictConfig) -> DictConfig:
    """`mixtures`: for every distinct mixture of the order what its data and its training read.

    A task's own hyper-parameters hold where it is trained alone; a joint step takes the scale's.
    """
    blocks = {}
    for mixture in dict.fromkeys(_order(order, _root_)):
        records = {task: _plain(_root_.tasks[task]) for task in mixture.split("+")}
        own = next(iter(records.values())).get("training", {}) if len(records) == 1 else {}
        blocks[mixture] = {
            "data": {task: _data(record, _root_) for task, record in records.items()},
            "training": _training(own, f"mixtures.{mixture}.training", _root_),
            "tasks": {task: _encoding(record, _root_) for task, record in records.items()},
        }
    return OmegaConf.create(blocks)


def resolve_benchmark(targets: Any, _root_: DictConfig) -> DictConfig:
    """`benchmark`: for every target the code of its kind and what its data, tuning and prediction read."""
    blocks = {}
    for target in _targets(targets, _root_):
        record = _plain(_root_.xtreme[target])
        blocks[target] = {
            "code": f"src/kinds/{record['kind']}.py",
            # Retrieval is not tuned and has no curves; a path named twice is one output to DVC.
            "curves": f"metrics/targets/{target}.json" if record["kind"] == "retrieval" else f"metrics/curves/{target}",
            "data": _data(record, _root_),
            "training": _training(record.get("training", {}), f"benchmark.{target}.training", _root_),
            "task": _encoding(record, _root_),
        }
    return OmegaConf.create(blocks)


def resolve_scores(targets: Any, _root_: DictConfig) -> ListConfig:
    """`scores`: the score file of every target, then the summary script itself in the slots that are left."""
    files = [f"metrics/{target}.json" for target in _targets(targets, _root_)]
    return OmegaConf.create(files + ["src/summarize.py"] * (SCORE_SLOTS - len(files)))


for _name, _resolver in {
    "chain": resolve_chain,
    "final": resolve_final,
    "mixtures": resolve_mixtures,
    "benchmark": resolve_benchmark,
    "scores": resolve_scores,
}.items():
    OmegaConf.register_new_resolver(_name, _resolver, replace=True)
