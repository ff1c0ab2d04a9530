"""Resolvers that turn `order` and `targets` into what dvc.yaml iterates over.

Hydra imports this module when `dvc exp run` composes params.yaml (`plugins_path` in .dvc/config). Every block that a
stage depends on holds all the facts that the stage uses and no others: one changed fact reruns only what uses it.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stiltwalk.config.credentials import check_credentials
from stiltwalk.config.orders import (
    FROZEN,
    chain,
    check_names,
    check_order,
    check_seed,
    check_targets,
    check_weights,
    checkpoints,
    probes,
)
from stiltwalk.config.schema import check_fields
from stiltwalk.data.own_files import FOLDER, own_digest, own_file
from stiltwalk.miniworld import TASKS
from stiltwalk.utils.errors import InputError

# Of a record on the hub's data, what the data stages read of it beside what all sources do.
HUB = ("notes", "drop_characters", "train", "validation", "test")
SIZES = ("micro_batch_tokens", "prediction_tokens")  # what may be set for memory's sake, and changes no result
SCORE_SLOTS = 10  # dvc.yaml lists what is scored one by one: `deps:` takes no list from a template


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _checked(check: Callable[..., Any], *values: Any) -> Any:
    """A bad value ends `dvc exp run` in one line; other exceptions get lines of OmegaConf and DVC around."""
    try:
        return check(*values)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None


def _order(order: Any, root: DictConfig) -> list[str]:
    order = _plain(order)
    if isinstance(order, list):  # on the command line `null` is no text but YAML's null
        order = ["null" if step is None else step for step in order]
    return _checked(check_order, order, root.tasks)


def _targets(targets: Any, root: DictConfig) -> list[str]:
    targets = _plain(targets)
    if isinstance(targets, list):
        targets = ["bucc2018" if target == "bucc" else target for target in targets]
    names = _checked(check_targets, targets, root.xtreme)
    if len(names) > SCORE_SLOTS:
        raise SystemExit(f"error: targets has {len(names)} targets; dvc.yaml's score stage has room for {SCORE_SLOTS}")
    return names


def _data(name: str, record: dict[str, Any], root: DictConfig) -> dict[str, Any]:
    """What the data stage of a task reads: where its rows come from and how many to take.

    Of a user's own files their digest, so that experiments on other rows are told apart by their parameters.
    """
    facts: dict[str, Any] = {
        key: record[key] for key in ("kind", "labels", "languages", "shuffled", "parts") if key in record
    }
    facts |= {"source": _source(record, root), "sample": _sample(record, root)}
    if facts["source"] == "world":
        if "languages" in facts:  # the world's own, in place of XTREME's
            english = [] if record["kind"] in FROZEN else ["en"]
            facts["languages"] = [*english, *root.world.languages]
        return facts
    if facts["source"] == "own":
        facts["digest"] = own_digest(name)
    return facts | {key: record[key] for key in HUB if key in record}


def _source(record: dict[str, Any], root: DictConfig) -> str:
    return "own" if record.get("own") and root.source == "hub" else root.source


def _sample(record: dict[str, Any], root: DictConfig) -> dict[str, Any]:
    """How many rows of a split to take: the scale's numbers, and in their place the record's own."""
    return _plain(root.sample) | record.get("sample", {})


def _own_files(task: str, record: dict[str, Any], root: DictConfig) -> list[str]:
    """The folder of a user's own rows, where the task has such; they are asked for before anything runs."""
    if _source(record, root) != "own":
        return []
    folder = FOLDER / task
    names = [own_file(task, record["kind"], split).name for split in ("train", "validation")]
    if record["kind"] == "mining":
        names = [
            f"{language}-en.{part}.{end}"
            for language in record["languages"]
            for part in record["parts"].values()
            for end in (language, "en", "gold")
        ]
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise SystemExit(
            f"error: '{task}' needs files of your own in {folder} (see its record in conf/): {missing[0]} is not there"
            + (f", nor are {len(missing) - 1} others" if missing[1:] else "")
        )
    return [str(folder)]


def _check_world(tasks: list[str], root: DictConfig) -> None:
    if root.source == "world" and (odd := [task for task in tasks if task not in TASKS]):
        raise SystemExit(
            f"error: the generated world has no task '{odd[0]}'; add -S scale=small, which reads the hub and your own "
            "files, or write a generator in src/sources/world"
        )


def _training(own: dict[str, Any], root: DictConfig) -> dict[str, Any]:
    """The hyper-parameters of one training: the scale's, and in their place those of its own."""
    return _plain(root.training) | own


def _encoding(record: dict[str, Any], root: DictConfig) -> dict[str, Any]:
    """What the training of a task reads besides the hyper-parameters: its kind, labels and the kind's options."""
    options = _plain(root.kinds[record["kind"]]) | record.get("options", {})
    return {"kind": record["kind"], "labels": record.get("labels", []), **options}


def resolve_chain(order: Any, _root_: DictConfig) -> DictConfig:
    """`chain`: a block for every step (see planning.order.chain)."""
    kinds = {name: record["kind"] for name, record in _root_.tasks.items()}
    weights = _checked(check_weights, _root_.checkpoints)
    return OmegaConf.create(_checked(chain, _order(order, _root_), kinds, weights))


def resolve_final(order: Any, _root_: DictConfig) -> str:
    """`final`: the checkpoint that the targets start from."""
    _checked(check_seed, _root_.seed)
    return checkpoints(_order(order, _root_))[-1]


def resolve_mixtures(order: Any, _root_: DictConfig) -> DictConfig:
    """`mixtures`: for every distinct mixture of the order what its data and its training read.

    A task's own hyper-parameters hold where it is trained alone; a joint step takes the scale's, but no checkpoint is
    chosen by the validation of a task that keeps its last.
    """
    blocks = {}
    for mixture in dict.fromkeys(_order(order, _root_)):
        records = {task: _plain(_root_.tasks[task]) for task in mixture.split("+")}
        trainings = [record.get("training", {}) for record in records.values()]
        last = {"keep": "last"} if any(own.get("keep") == "last" for own in trainings) else {}
        own = trainings[0] if len(trainings) == 1 else last
        sources = {_source(record, _root_) for record in records.values()}
        _check_world(list(records), _root_)
        files = [folder for task, record in records.items() for folder in _own_files(task, record, _root_)]
        blocks[mixture] = {
            "code": f"src/sources/{sources.pop()}" if len(sources) == 1 else "src/sources",
            # A path named twice is one dependency to DVC: the script stands in where a user has no files of his own.
            "files": "src/data.py" if not files else files[0] if len(files) == 1 else "data/own",
            "data": {task: _data(task, record, _root_) for task, record in records.items()},
            "training": _training(own, _root_),
            "tasks": {task: _encoding(record, _root_) for task, record in records.items()},
        }
    return OmegaConf.create(blocks)


def resolve_benchmark(targets: Any, _root_: DictConfig) -> DictConfig:
    """`benchmark`: for every target what its data, tuning and prediction read."""
    blocks, names = {}, _tuned_as(_root_)
    for target in _targets(targets, _root_):
        record = _plain(_root_.xtreme[target])
        blocks[target] = {
            "source": f"src/sources/{_source(record, _root_)}",
            "files": (_own_files(target, record, _root_) or ["src/xtreme.py"])[0],
            "data": _data(target, record, _root_),
            "tuned_as": names[target],
            "training": _training(record.get("training", {}), _root_),
            "task": _encoding(record, _root_),
        }
    return OmegaConf.create(blocks)


def resolve_tunings(targets: Any, _root_: DictConfig) -> DictConfig:
    """`tunings`: under its first target every tuning, which may serve a second one: XTREME tunes once for two on SQuAD.

    Targets are in the order of conf/, however they are asked for.
    """
    chosen, names = _targets(targets, _root_), _tuned_as(_root_)
    alike: dict[str, list[str]] = {}
    for target in (target for target in names if target in chosen):
        alike.setdefault(names[target], []).append(target)
    blocks = {}
    for members in alike.values():
        for first, *others in (members[i : i + 2] for i in range(0, len(members), 2)):
            kind = _root_.xtreme[first].kind
            # Retrieval is not tuned and has no curves; a path named twice is one dependency or output to DVC.
            curves = f"metrics/targets/{first}.json" if kind in FROZEN else f"metrics/curves/{first}"
            served = {"targets": [first, *others], "second": others[0] if others else first}
            blocks[first] = {**served, "code": f"src/kinds/{kind}.py", "curves": curves}
    return OmegaConf.create(blocks)


def _tuned_as(root: DictConfig) -> dict[str, str]:
    """By target the first one in conf/ that is tuned on the same: of its name, random numbers are drawn for both."""
    made_of = {name: _tuned_on(name, root) for name in root.xtreme}
    return {name: next(first for first in made_of if made_of[first] == made_of[name]) for name in made_of}


def _tuned_on(target: str, root: DictConfig) -> Any:
    """What the tuning of a target is made of; its name where no other may share it.

    The generated world makes the rows of every target anew; which checkpoint is kept, and whether a training is tried
    again, is told by the target's own validation rows.
    """
    record = _plain(root.xtreme[target])
    training = _training(record.get("training", {}), root)
    if _source(record, root) != "hub" or record["kind"] in FROZEN or training["keep"] != "last" or training["retries"]:
        return target
    sample = _sample(record, root)
    rows = [record["train"], record.get("drop_characters"), sample["train"], sample["seed"]]
    hyper = {name: value for name, value in training.items() if name not in SIZES}
    return [*rows, _encoding(record, root), hyper]


def resolve_probes(order: Any, targets: Any, _root_: DictConfig) -> DictConfig:
    """`probes`: for every checkpoint what its probe reads; Tatoeba is probed where it is a target."""
    retrieval = "tatoeba" in _targets(targets, _root_)
    task = _encoding(_plain(_root_.xtreme.tatoeba), _root_) if retrieval else None
    training = _training({}, _root_)
    found = probes(_order(order, _root_), retrieval)
    return OmegaConf.create({key: {**probe, "task": task, "training": training} for key, probe in found.items()})


def resolve_probed(order: Any, targets: Any, _root_: DictConfig) -> str:
    """`probed`: the record of the last probe, which holds those before; the scoring script where there is none."""
    keys = list(probes(_order(order, _root_), "tatoeba" in _targets(targets, _root_)))
    return f"metrics/probes/{keys[-1]}.json" if keys else "src/score.py"


def resolve_scored(targets: Any, _root_: DictConfig) -> ListConfig:
    """`scored`: predictions, gold and tuning record of every target, then the script itself in the slots left."""
    places = ("predictions/{}", "data/labels/{}", "metrics/targets/{}.json")
    files = [place.format(target) for target in _targets(targets, _root_) for place in places]
    return OmegaConf.create(files + ["src/score.py"] * (len(places) * SCORE_SLOTS - len(files)))


def resolve_leaks(order: Any, targets: Any, _root_: DictConfig) -> DictConfig:
    """`leaks`: for every target the tasks of the order that train on the target's own training rows."""
    tasks = dict.fromkeys(task for step in _order(order, _root_) for task in step.split("+"))
    return OmegaConf.create(
        {
            target: [task for task in tasks if task in _root_.xtreme[target].get("leaked_by", [])]
            for target in _targets(targets, _root_)
        }
    )


_RESOLVERS: dict[str, Callable[..., Any]] = {
    "chain": resolve_chain,
    "final": resolve_final,
    "mixtures": resolve_mixtures,
    "benchmark": resolve_benchmark,
    "tunings": resolve_tunings,
    "probes": resolve_probes,
    "probed": resolve_probed,
    "scored": resolve_scored,
    "leaks": resolve_leaks,
}


def _names(tree: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    """What becomes part of a stage's name, command, path or module, and where it stands in the configuration."""

    def part(block: Any, key: str) -> Any:  # whether the block is one at all is said by check_fields
        return block.get(key) if isinstance(block, dict) else None

    yield "source", tree["source"]
    yield "encoder.source", part(tree["encoder"], "source")
    for language in part(tree.get("world"), "languages") or {}:
        yield "a language of world.languages", language
    for group in ("tasks", "xtreme"):
        for name, record in (tree[group] if isinstance(tree[group], dict) else {}).items():
            yield f"a name in {group}", name
            yield f"{group}.{name}.kind", part(record, "kind") or "pair"
            languages, parts = part(record, "languages"), part(record, "parts")
            for language in languages if isinstance(languages, (list, dict)) else []:
                yield f"{group}.{name}.languages", language
            for split, value in parts.items() if isinstance(parts, dict) else ():
                yield f"{group}.{name}.parts.{split}", value


class _Derived:
    """The configuration that is resolved, and its derived values so far."""

    root: Any = None
    values: dict[str, Any]


def _is_set(key: str, root: DictConfig) -> bool:
    """Whether a derived value is neither `${chain:...}` still, as conf/config.yaml says, nor what came of that."""
    node = root._get_node(key, validate_access=False)
    if isinstance(node, Node) and str(node._value()).startswith(f"${{{key}:"):
        return False
    return key not in _Derived.values or _plain(root.get(key)) != _Derived.values[key]


def _check_fields(root: DictConfig) -> None:
    """Every field but the derived ones; nothing is derived from a configuration with a fault."""
    _checked(check_credentials)
    try:
        tree = {name: _plain(root[name]) for name in root if name not in _RESOLVERS and name != "hydra"}
    except OmegaConfBaseException as error:
        raise SystemExit(f"error: conf/ or -S: {' '.join(str(error).split())}") from None
    _checked(check_names, _names(tree))
    _checked(check_fields, tree)


def _derive(key: str, resolver: Callable[..., Any]) -> Callable[..., Any]:
    """The resolver of a derived value, for a sound configuration that sets none of the derived values."""

    @functools.wraps(resolver)
    def derive(*given: Any, _root_: DictConfig) -> Any:
        first = _Derived.root is not _root_
        if first:
            _Derived.root, _Derived.values = _root_, {}
        for other in _RESOLVERS:
            if other != key and _is_set(other, _root_):
                raise SystemExit(f"error: {other} follows from order and targets, and cannot be set; set those")
        if first:
            _check_fields(_root_)
        found = resolver(*given, _root_=_root_)
        _Derived.values[key] = _plain(found)
        return found

    return derive


for _name, _resolver in _RESOLVERS.items():
    OmegaConf.register_new_resolver(_name, _derive(_name, _resolver), replace=True)
