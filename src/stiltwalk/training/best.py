"""The weights to keep of a training: the last ones, or those of the best evaluation."""

import math
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from stiltwalk.training.evaluation import Flags, Scores
from stiltwalk.training.settings import Keep


class Best:
    """What `keep` asks for: the scores of the last evaluation, or scores and weights of the best one.

    The best evaluation is that with the highest mean of the tasks' main scores.
    """

    def __init__(self, keep: Keep):
        self.keeps_best = keep == "best"
        self.value = -math.inf
        self.weights: dict[str, torch.Tensor] = {}
        """This process's part of the best weights, on the CPU."""
        self.results: tuple[Scores, Flags] = {}, {}

    def update(self, model: nn.Module, scores: Scores, flags: Flags) -> None:
        """Take an evaluation of the model into account."""
        value = sum(next(iter(score.values())) for score in scores.values()) / len(scores)
        if not self.keeps_best:
            self.results = scores, flags
        elif value > self.value:
            self.value, self.results = value, (scores, flags)
            self.weights = {
                name: local_shard(weight).detach().cpu().clone() for name, weight in model.state_dict().items()
            }

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Return what `load` restores: facts, as JSON, and this process's part of the best weights."""
        return {"value": self.value, "results": self.results}, self.weights

    def load(self, facts: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
        """Load what `state` returned."""
        self.value, self.results, self.weights = facts["value"], tuple(facts["results"]), weights

    def restore(self, model: nn.Module) -> tuple[Scores, Flags]:
        """Put the weights to keep into the model; return their scores and flags."""
        if self.keeps_best:
            with torch.no_grad():
                for name, weight in model.state_dict().items():
                    local_shard(weight).copy_(self.weights[name])
        return self.results


def local_shard(weight: Any) -> torch.Tensor:
    """Return the part of a weight that lies in this process: a shard under FSDP, otherwise all of it."""
    return weight.to_local() if isinstance(weight, DTensor) else weight


def full_tensor(value: Any) -> torch.Tensor:
    """Return the whole of a tensor that FSDP may have divided among processes."""
    return value.full_tensor() if isinstance(value, DTensor) else value
