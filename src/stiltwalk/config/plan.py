"""The plan of an experiment: everything that dvc.yaml iterates over, derived from the order and the targets.

DVC's templates cannot express "the checkpoint of the step before", so this is derived once, while `dvc exp run`
composes params.yaml. Every block that a stage depends on holds the facts that the stage uses and no others: a changed
fact reruns only the stages that use it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stiltwalk.config.leaks import find_leaks
from stiltwalk.config.orders import checkpoint_keys, step_keys
from stiltwalk.data.own.files import FOLDER, own_digest, own_file_names
from stiltwalk.miniworld.generate import source as world
from stiltwalk.tasks.base_spec import TASK_SPLITS, load_spec
from stiltwalk.utils.errors import InputError

Record = Mapping[str, Any]
Config = Mapping[str, Any]
TASKS = "src/stiltwalk/tasks"
SOURCES = {
    "world": "src/stiltwalk/miniworld/generate",
    "hub": "src/stiltwalk/data/hub",
    "own": "src/stiltwalk/data/own",
}
HUB_AND_OWN = "src/stiltwalk/data"  # the only sources that one mixture can mix
ENCODERS = {"world": "src/stiltwalk/miniworld", "hub": "src/stiltwalk/data/hub"}
RECORD_FACTS = ("kind", "labels", "languages", "shuffled", "parts", "layout")  # what data stages may read of a record
REAL_DATA_FACTS = ("notes", "drop_characters", "train", "validation", "test")  # and what only real data need
# They change memory use, and results only by rounding and dropout masks; those of `tli` also by a micro-batch's pairs.
MEMORY_SETTINGS = ("micro_batch_tokens", "prediction_tokens", "gradient_checkpointing", "cuda_graphs")
PREDICTION_SETTINGS = ("attention", "mixed_precision", "threads", "prediction_tokens")


@dataclass(frozen=True)
class Step:
    """One step of the order.

    `start` is the checkpoint that the step starts from. `prefix` names all steps up to and including this one. Seed
    and prefix together seed the step: two orders draw equal random numbers in their common first steps, and
    independent ones after them.
    """

    start: str
    mixture: str
    prefix: str
    dtype: str
    head_code: str
    probe_code: str


@dataclass(frozen=True)
class Mixture:
    """What one step trains on: where its rows come from, how they are tokenised, and its hyper-parameters."""

    source_code: str
    data_code: str
    data: dict[str, Any]
    tokens: dict[str, Any]
    tasks: dict[str, Any]
    training: dict[str, Any]


@dataclass(frozen=True)
class Target:
    """One XTREME task: its data, how they are tokenised, its options and its hyper-parameters."""

    source_code: str
    data_code: str
    data: dict[str, Any]
    tokens: dict[str, Any]
    task: dict[str, Any]
    training: dict[str, Any]


@dataclass(frozen=True)
class Tuning:
    """How a target is tuned.

    `seed_name` seeds the tuning, together with `seed`. It is the first target of conf/xtreme.yaml with the same tuning,
    whether that target is selected or not.
    """

    seed_name: str
    head_code: str


@dataclass(frozen=True)
class TuningPair:
    """One tuning that serves two targets, as XTREME tunes once on SQuAD for XQuAD and MLQA."""

    first: str
    second: str
    seed_name: str
    head_code: str


@dataclass(frozen=True)
class Retrieval:
    """A target that nothing is tuned for."""

    search_code: str


@dataclass(frozen=True)
class Plan:
    """The block `plan` of params.yaml.

    `final` is the last checkpoint. `leaks` has a key for every target; src/score.py scores exactly these.
    """

    final: str
    encoder_code: str
    steps: dict[str, Step]
    mixtures: dict[str, Mixture]
    targets: dict[str, Target]
    tunings: dict[str, Tuning]
    tuning_pairs: dict[str, TuningPair]
    retrievals: dict[str, Retrieval]
    trajectory: list[str]
    prediction: dict[str, Any]
    leaks: dict[str, list[str]]


def make_plan(config: Config) -> dict[str, Any]:
    """Return the plan of a checked configuration, whose `tasks` and `xtreme` hold the full records.

    Raises InputError if an order, a task or a target is not possible with the configured sources.
    """
    order, targets = config["order"], config["targets"]
    tunings, pairs = plan_tunings(config)
    plan = Plan(
        final=checkpoint_keys(order)[-1],
        encoder_code=ENCODERS[config["encoder"]["source"]],
        steps=plan_steps(
            order, {name: record["kind"] for name, record in config["tasks"].items()}, config["checkpoints"]
        ),
        mixtures={mixture: plan_mixture(mixture, config) for mixture in dict.fromkeys(order)},
        targets={target: plan_target(target, config) for target in targets},
        tunings=tunings,
        tuning_pairs=pairs,
        retrievals={
            target: Retrieval(code_of_kinds([config["xtreme"][target]["kind"]], "search"))
            for target in targets
            if not is_tuned(config["xtreme"][target])
        },
        trajectory=checkpoint_keys(order) if "tatoeba" in targets else [],
        prediction={name: config["training"][name] for name in PREDICTION_SETTINGS},
        leaks=find_leaks(order, targets, config["tasks"], config["xtreme"], config["source"] == "hub"),
    )
    return asdict(plan)


def plan_steps(order: Sequence[str], kinds: Mapping[str, str], dtype: str) -> dict[str, Step]:
    """Return the steps of an order by key. kinds: the kind of every task. dtype: of the checkpoints."""
    steps: dict[str, Step] = {}
    for number, (key, mixture) in enumerate(zip(step_keys(order), order, strict=True), start=1):
        tasks = mixture.split("+")
        frozen = [task for task in tasks if load_spec(kinds[task]).freezes_encoder]
        if frozen and len(tasks) > 1:
            raise InputError(
                f"order has the joint step '{mixture}'; {frozen[0]}, a {kinds[frozen[0]]} task, freezes the encoder: "
                "train it alone"
            )
        trained_so_far = [task for step in order[:number] for task in step.split("+")]
        steps[key] = Step(
            start=checkpoint_keys(order)[number - 1],
            mixture=mixture,
            prefix="/".join(order[:number]),
            dtype=dtype,
            head_code=code_of_kinds((kinds[task] for task in tasks), "head"),
            probe_code=code_of_kinds((kinds[task] for task in trained_so_far), "head"),
        )
    return steps


def plan_mixture(mixture: str, config: Config) -> Mixture:
    """Return what the data and the training of a mixture read.

    A task's own hyper-parameters apply where it is trained alone. A joint step takes the scale's, but keeps the
    weights of its last optimizer step if one of its tasks does.
    """
    records = {task: config["tasks"][task] for task in mixture.split("+")}
    trainings = [record.get("training", {}) for record in records.values()]
    keep_last = {"keep": "last"} if any(training.get("keep") == "last" for training in trainings) else {}
    sources = {source_of(record, config) for record in records.values()}
    for task, record in records.items():
        check_source(task, record, config)
    kinds = [record["kind"] for record in records.values()]
    return Mixture(
        source_code=SOURCES[sources.pop()] if len(sources) == 1 else HUB_AND_OWN,
        data_code=code_of_kinds(kinds, "data"),
        data={task: data_facts(task, record, config, TASK_SPLITS) for task, record in records.items()},
        tokens={task: tokenizer_options(record, config) for task, record in records.items()},
        tasks={task: task_options(record, config) for task, record in records.items()},
        training=config["training"] | (trainings[0] if len(trainings) == 1 else keep_last),
    )


def plan_target(target: str, config: Config) -> Target:
    """Return what the data, the tuning and the predictions of a target read."""
    record = config["xtreme"][target]
    check_source(target, record, config)
    training = config["training"] | record.get("training", {})
    if not is_tuned(record):
        training = {name: training[name] for name in PREDICTION_SETTINGS}
    return Target(
        source_code=SOURCES[source_of(record, config)],
        data_code=code_of_kinds([record["kind"]], "data"),
        data=data_facts(target, record, config, load_spec(record["kind"]).target_splits),
        tokens=tokenizer_options(record, config),
        task=task_options(record, config),
        training=training,
    )


def plan_tunings(config: Config) -> tuple[dict[str, Tuning], dict[str, TuningPair]]:
    """Return the tunings that serve one target and those that serve two, in the order of conf/xtreme.yaml.

    Two targets share a tuning if everything that it depends on is equal, apart from memory settings; those of the first
    target apply. A third such target has a tuning of its own.
    """
    seed_names = find_seed_names(config)
    groups: dict[str, list[str]] = {}
    for target, record in config["xtreme"].items():
        if target in config["targets"] and is_tuned(record):
            groups.setdefault(seed_names[target], []).append(target)
    singles, pairs = {}, {}
    for seed_name, members in groups.items():
        for first, *others in (members[i : i + 2] for i in range(0, len(members), 2)):
            code = code_of_kinds([config["xtreme"][first]["kind"]], "head")
            if others:
                pairs[f"{first}+{others[0]}"] = TuningPair(first, others[0], seed_name, code)
            else:
                singles[first] = Tuning(seed_name, code)
    return singles, pairs


def find_seed_names(config: Config) -> dict[str, str]:
    """Return, for every target, the first target of conf/xtreme.yaml whose tuning is the same."""
    inputs = {target: tuning_inputs(target, config) for target in config["xtreme"]}
    return {target: next(first for first in inputs if inputs[first] == inputs[target]) for target in inputs}


def tuning_inputs(target: str, config: Config) -> Any:
    """Return everything that the tuning of a target depends on, or the target's name if no other may share its tuning.

    A target cannot share its tuning if it has rows of its own, as in the generated world, or if its validation rows
    choose the checkpoint or trigger a retry.
    """
    record = config["xtreme"][target]
    training = config["training"] | record.get("training", {})
    shareable = source_of(record, config) == "hub" and is_tuned(record)
    if not shareable or training["keep"] != "last" or training["retries"]:
        return target
    sample = config["sample"] | record.get("sample", {})
    rows = [record["train"], record.get("drop_characters"), sample["train"], sample["seed"]]
    settings = {name: value for name, value in training.items() if name not in MEMORY_SETTINGS}
    return [*rows, task_options(record, config), settings]


def is_tuned(record: Record) -> bool:
    """Return whether a target is tuned, or only searched (retrieval and mining)."""
    return load_spec(record["kind"]).trained


def source_of(record: Record, config: Config) -> str:
    """Return where the rows of a record come from: `world`, `hub` or `own`."""
    return "own" if record.get("own") and config["source"] == "hub" else str(config["source"])


def check_source(task: str, record: Record, config: Config) -> None:
    """Raise InputError if the generated world lacks a task or target, or one of the user's own files is missing."""
    if config["source"] == "world" and task not in (*world.TASKS, *world.DISTRACTORS):
        raise InputError(
            f"the generated world has no '{task}'; add -S scale=small, which reads the hub and your own files, or "
            "write a generator in src/stiltwalk/miniworld/generate"
        )
    check_own_files(task, record, config)


def check_own_files(task: str, record: Record, config: Config) -> None:
    """Raise InputError if a file of the user's own is missing, before anything runs."""
    if source_of(record, config) != "own":
        return
    folder = FOLDER / task
    if missing := [name for name in own_file_names(record) if not (folder / name).is_file()]:
        others = f" ({len(missing)} files are missing)" if missing[1:] else ""
        raise InputError(
            f"'{task}' needs files of your own in {folder} (see its record in conf/): {missing[0]} is missing{others}"
        )


def data_facts(name: str, record: Record, config: Config, splits: Sequence[str]) -> dict[str, Any]:
    """Return what the data stage of a task reads: where the rows of its splits come from and how many to take.

    A user's own files are represented by a digest, so that experiments on other rows have other parameters.
    """
    facts = {key: record[key] for key in RECORD_FACTS if key in record}
    sample = config["sample"] | record.get("sample", {})
    facts |= {"source": source_of(record, config), "sample": {key: sample[key] for key in (*splits, "seed")}}
    if facts["source"] == "world":
        facts.pop("languages", None)  # XTREME's; data/world.json has the world's own
        return facts
    if facts["source"] == "own":
        facts["digest"] = own_digest(name)
    return facts | {key: record[key] for key in REAL_DATA_FACTS if key in record}


def task_options(record: Record, config: Config) -> dict[str, Any]:
    """Return what heads and searches read of a task: its kind, its labels and the kind's options."""
    options = config["kinds"][record["kind"]] | record.get("options", {})
    return {"kind": record["kind"], "labels": record.get("labels", []), **options}


def tokenizer_options(record: Record, config: Config) -> dict[str, Any]:
    """Return what tokenisers read of a task: an option of heads or searches alone makes no rows again."""
    options = task_options(record, config)
    names = ("kind", "labels", "max_length", *load_spec(record["kind"]).tokenizer_options)
    return {name: options[name] for name in names if name in options}


def code_of_kinds(kinds: Iterable[str], part: str) -> str:
    """Return the path that a stage depends on: a part of the one kind, or all kinds where a step mixes several."""
    distinct = set(kinds)
    return f"{TASKS}/{distinct.pop()}/{part}" if len(distinct) == 1 else TASKS
