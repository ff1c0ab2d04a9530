"""Which experiments have the same settings and can be compared: they differ only in order and seed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stiltwalk.sweep.experiments import Experiment

NOT_SET = "(not set)"
DESCRIPTIVE = ("notes", "leaked_by")  # facts of a task that change no score
SHARED_SETTINGS = ("source", "checkpoints", "world", "encoder")  # bear on every score
SCALE_SETTINGS = ("sample", "training", "kinds")  # bear on scores through the plan's mixtures and targets
RECORDS = ("tasks", "xtreme")  # settings of single tasks and targets


@dataclass
class SettingsGroup:
    """Experiments that differ only in order and seed."""

    determinants: dict[str, Any] = field(default_factory=dict)
    """What the scores depend on, see `list_determinants`."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What conf/ and -S set, see `list_settings`."""
    used: set[str] = field(default_factory=set)
    """The tasks and targets that the members use: `tasks.<task>`, `xtreme.<target>`."""
    members: list[Experiment] = field(default_factory=list)
    primary: list[Experiment] = field(default_factory=list)
    """The members for which this is the only group, or the first of several."""

    @property
    def size(self) -> int:
        """The number of distinct orders and seeds among the primary members."""
        return len({(experiment.order, experiment.seed) for experiment in self.primary})

    def differences(self, other: "SettingsGroup") -> list[str]:
        """List the settings in which the other group differs, as `name=value` with the other's values.

        Settings of a task or target count only if both groups use it. If no setting differs, the facts that the code
        derived from the settings are listed instead.
        """
        derived, other_derived = flatten(self.determinants), flatten(other.determinants)
        for mine, others in ((self.settings, other.settings), (derived, other_derived)):
            shared = (self.used | set(map(_scope, mine))) & (other.used | set(map(_scope, others)))
            names = [name for name in dict.fromkeys([*others, *mine]) if _scope(name) in shared]
            differing = [name for name in names if mine.get(name, NOT_SET) != others.get(name, NOT_SET)]
            if differing:
                return [f"{name}={others.get(name, NOT_SET)}" for name in differing]
        return []


def group_by_settings(experiments: Iterable[Experiment]) -> list[SettingsGroup]:
    """Group experiments that differ only in order and seed.

    An experiment that uses none of the settings in which groups differ is a member of all of them. An example is the
    baseline, if the groups differ in an intermediate task.
    """
    groups: list[SettingsGroup] = []
    with_determinants = [(experiment, list_determinants(experiment)) for experiment in experiments]
    for experiment, determinants in with_determinants:
        group = next((group for group in groups if _is_consistent(group, determinants)), None)
        if group is None:
            groups.append(group := SettingsGroup())
        group.primary.append(experiment)
        group.determinants |= determinants
        group.settings |= {k: v for k, v in list_settings(experiment).items() if k not in group.settings}
        group.used |= list_used(experiment)
    for experiment, determinants in with_determinants:
        for group in groups:
            if _is_consistent(group, determinants):
                group.determinants |= determinants
                group.members.append(experiment)
    return groups


def mixtures_of(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """Return the plan's block for each mixture of tasks that the experiment trains on."""
    mixtures: dict[str, dict[str, Any]] = experiment.params["plan"]["mixtures"]
    return mixtures


def targets_of(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """Return the plan's block for each target of the experiment."""
    targets: dict[str, dict[str, Any]] = experiment.params["plan"]["targets"]
    return targets


def seed_names_of(experiment: Experiment) -> dict[str, str]:
    """Return, for each target, the name from which its tuning draws random numbers: its own unless the plan says so."""
    plan = experiment.params["plan"]
    names = {target: tuning["seed_name"] for target, tuning in plan["tunings"].items()}
    for pair in plan["tuning_pairs"].values():
        names |= dict.fromkeys((pair["first"], pair["second"]), pair["seed_name"])
    return {target: names.get(target, target) for target in targets_of(experiment)}


def list_determinants(experiment: Experiment) -> dict[str, Any]:
    """Return what an experiment's scores depend on besides order and seed; each mixture and each target is one value.

    Paths to code are left out, because they follow from the rest. The name from which a target's tuning draws its
    random numbers is included: under another name, the same settings give other random numbers.
    """
    determinants: dict[str, Any] = {name: experiment.params.get(name) for name in SHARED_SETTINGS}
    for mixture, block in mixtures_of(experiment).items():
        determinants[f"plan.mixtures.{mixture}"] = _facts(block)
    seed_names = seed_names_of(experiment)
    for target, block in targets_of(experiment).items():
        determinants[f"plan.targets.{target}"] = _facts(block) | {"seed_name": seed_names[target]}
    return determinants


def list_settings(experiment: Experiment) -> dict[str, Any]:
    """Return what conf/ and -S set, by dotted name; of tasks and targets only those that the experiment uses."""
    params, used = experiment.params, list_used(experiment)
    settings = {name: params[name] for name in (*SHARED_SETTINGS, *SCALE_SETTINGS) if name in params}
    for group in RECORDS:
        records = params.get(group) or {}
        settings[group] = {
            name: _without_descriptions(record) for name, record in records.items() if f"{group}.{name}" in used
        }
    return flatten(settings)


def list_used(experiment: Experiment) -> set[str]:
    """Return the names of the records that an experiment uses: `tasks.<task>` and `xtreme.<target>`."""
    tasks = {f"tasks.{task}" for step in experiment.order for task in step.split("+")}
    return tasks | {f"xtreme.{target}" for target in targets_of(experiment)}


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by dotted name; a list is a leaf."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        leaves |= flatten(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return leaves


def _is_consistent(group: SettingsGroup, determinants: Mapping[str, Any]) -> bool:
    """Whether the group agrees with the determinants that both have."""
    return all(group.determinants.get(name, value) == value for name, value in determinants.items())


def _facts(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a mixture's or target's block that bear on scores."""
    return {key: _without_descriptions(value) for key, value in block.items() if not key.endswith("_code")}


def _without_descriptions(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    return {key: _without_descriptions(value) for key, value in tree.items() if key not in DESCRIPTIVE}


def _scope(name: str) -> str:
    """Return the part of a dotted name (a task, target, mixture or group) that two groups must share to be compared."""
    parts = name.split(".")
    depth = 3 if parts[0] == "plan" else 2 if parts[0] in RECORDS else 1
    return ".".join(parts[:depth])
