"""Passes on a GPU as CUDA graphs: a short batch takes longer to launch, kernel by kernel, than to compute."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import nn

WIDTH = 16  # sequences are padded to a multiple of it, so that shapes come again
MOST = 64  # graphs; shapes beyond them are launched kernel by kernel

Batch = dict[str, torch.Tensor]
Pass = Callable[[str, Batch, torch.Tensor], torch.Tensor]


class Recording(NamedTuple):
    """A graph, and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    batch: Batch
    divisor: torch.Tensor
    loss: torch.Tensor


class Recorded:
    """A pass forward and backward that is recorded when a shape of batch comes for the second time, then played back.

    Gradients are added up in tensors that stay, under the same addresses, from step to step. A pass in which a shape
    depends on the batch's values (picked tokens) cannot be recorded, and never is.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], run: Pass):
        """run: adds up the gradients of a task's batch, its loss over the divisor, and returns that loss."""
        self.run = run
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.gradients: dict[nn.Parameter, torch.Tensor] = {}
        self.used: dict[str, list[nn.Parameter]] = {}  # by task; others keep no gradient, and are not decayed
        self.seen: Counter[Any] = Counter()
        self.recordings: dict[Any, Recording] = {}
        self.pool: Any = None

    def __call__(self, task: str, batch: Batch, divisor: float) -> torch.Tensor:
        shape = (task, *((name, values.shape) for name, values in batch.items()))
        self.seen[shape] += 1
        dividing = torch.full((), float(divisor), device=batch["input_ids"].device)  # the host does not wait for it
        if task not in self.used:
            return self._first(task, batch, dividing)
        self._give_gradients(self.used[task])
        if shape not in self.recordings:
            if "picked" in batch or self.seen[shape] == 1 or len(self.recordings) == MOST:
                return self.run(task, batch, dividing)
            self.recordings[shape] = self._record(task, batch, dividing)
        graph, inputs, divided, loss = self.recordings[shape]
        for name, values in batch.items():
            inputs[name].copy_(values)
        divided.copy_(dividing)
        graph.replay()
        return loss

    def _first(self, task: str, batch: Batch, divisor: torch.Tensor) -> torch.Tensor:
        """The pass that shows what a task makes use of."""
        loss = self.run(task, batch, divisor)
        self.used[task] = [parameter for parameter in self.parameters if parameter.grad is not None]
        for parameter in self.used[task]:
            assert parameter.grad is not None
            kept = self.gradients.setdefault(parameter, parameter.grad)
            if kept is not parameter.grad:
                parameter.grad = kept.copy_(parameter.grad)
        return loss

    def _give_gradients(self, used: list[nn.Parameter]) -> None:
        """Zeros to begin a step with, in the tensors that stay."""
        if used[0].grad is None:
            torch._foreach_zero_([self.gradients[parameter] for parameter in used])
            for parameter in used:
                parameter.grad = self.gradients[parameter]

    def _record(self, task: str, batch: Batch, divisor: torch.Tensor) -> Recording:
        """Nothing is computed; activations of all graphs lie in the same memory, for one is played at a time."""
        self.pool = self.pool or torch.cuda.graph_pool_handle()
        inputs = {name: values.clone() for name, values in batch.items()}
        divided = divisor.clone()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            loss = self.run(task, inputs, divided)
        return Recording(graph, inputs, divided, loss)
