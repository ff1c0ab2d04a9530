"""The stages of an experiment, and which of them several experiments share."""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Any

from stiltwalk.config.orders import PRETRAINED, step_keys
from stiltwalk.sweep.plan import Sweep
from stiltwalk.sweep.trie import Order

SCRIPTS = {"intermediate": "train_step.py", "target_pair": "target.py"}


@dataclass(frozen=True)
class Stage:
    """One run of a stage. Two with the same key run once."""

    group: str
    """The name in dvc.yaml."""
    name: str
    """The key of its foreach; empty for a stage without one."""
    key: tuple[Any, ...]

    @property
    def dvc_name(self) -> str:
        """The name of the stage for DVC."""
        return "@".join(filter(None, [self.group, self.name]))

    @property
    def script(self) -> str:
        return SCRIPTS.get(self.group, f"{self.group}.py")

    @property
    def arguments(self) -> list[str]:
        """What the script is called with."""
        if self.group == "target_pair":
            return self.name.split("+")
        return [self.name] if self.name else []

    def trains_prefix_of(self, prefix: Order) -> bool:
        """Return whether the stage trains or probes one of the checkpoints up to this prefix of an order."""
        if self.group not in ("intermediate", "retention", "trajectory"):
            return False
        return bool(steps := self.key[1]) and steps == prefix[: len(steps)]


def shared_stages(params: dict[str, Any]) -> list[Stage]:
    """Return the stages of an experiment that serve every seed: encoder, data, and the pretrained encoder's probe."""
    plan = params["plan"]
    names = [("world", ""), ("encoder", "")]
    names += [("data", mixture) for mixture in plan["mixtures"]]
    names += [("xtreme", target) for target in plan["targets"]]
    names += [("trajectory", key) for key in plan["trajectory"] if key == PRETRAINED]
    return [Stage(group, name, (group, name)) for group, name in names]


def stages_of(sweep: Sweep, order: Order, seed: int) -> Iterator[Stage]:
    """Yield all stages of one experiment. A step serves all orders that begin with the same steps."""
    params = sweep.params[order]
    plan = params["plan"]
    yield from shared_stages(params)
    for number, key in enumerate(step_keys(order), start=1):
        prefix = order[:number]
        yield Stage("intermediate", key, ("intermediate", prefix, seed))
        yield Stage("retention", key, ("retention", prefix, seed))
    for key in plan["trajectory"]:
        if prefix := order[: int(key.split("-")[0])]:
            yield Stage("trajectory", key, ("trajectory", prefix, seed))
    for group, block in (("target", "tunings"), ("target_pair", "tuning_pairs"), ("retrieval", "retrievals")):
        for name in plan[block]:
            yield Stage(group, name, (group, name, order, seed))
    yield Stage("score", "", ("score", order, seed))


def stages_to_share(sweep: Sweep, done: Set[tuple[Order, int]]) -> Iterator[tuple[Order, list[Stage]]]:
    """Yield orders, the longest first, with their shared stages.

    Stages that an order before it or a finished one has are left out.
    """
    known = {stage.key for order, _ in done for stage in shared_stages(sweep.params[order])}
    for order in sorted(sweep.orders, key=len, reverse=True):
        new = [stage for stage in shared_stages(sweep.params[order]) if stage.key not in known]
        known.update(stage.key for stage in new)
        if new:
            yield order, new
