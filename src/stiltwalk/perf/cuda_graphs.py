"""Run passes on a GPU as CUDA graphs: the kernels of a short batch take longer to launch than to run."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import nn

PADDING_MULTIPLE = 16  # sequences are padded to a multiple of this, so that shapes recur
MAX_GRAPHS = 64  # the kernels of all other shapes are launched one by one

Batch = dict[str, torch.Tensor]
Pass = Callable[[str, Batch, torch.Tensor], torch.Tensor]


class Recording(NamedTuple):
    """A graph, and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    batch: Batch
    divisor: torch.Tensor
    loss: torch.Tensor


class RecordedPasses:
    """Forward and backward passes that are recorded when a shape of batch occurs the second time, and then replayed.

    Gradients accumulate in tensors that keep their addresses from step to step. A pass in which a shape depends on the
    values of the batch (`mlm_mask`) cannot be recorded, and always runs kernel by kernel.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], run: Pass):
        """run: takes the name of a task, a batch of it and a divisor of its loss; adds gradients; returns the loss."""
        self.run = run
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.gradients: dict[nn.Parameter, torch.Tensor] = {}
        # By task. A parameter that a task does not use keeps no gradient, so that AdamW does not decay it.
        self.used: dict[str, list[nn.Parameter]] = {}
        self.occurrences: Counter[Any] = Counter()
        self.recordings: dict[Any, Recording] = {}
        self.pool: Any = None

    def __call__(self, name: str, batch: Batch, divisor: float) -> torch.Tensor:
        """Add the gradients of one batch of task `name`; return its loss, divided by `divisor`."""
        shape = (name, *((column, values.shape) for column, values in batch.items()))
        self.occurrences[shape] += 1
        divisor_on_device = torch.full((), float(divisor), device=batch["input_ids"].device)  # without waiting for it
        if name not in self.used:
            return self._first_pass(name, batch, divisor_on_device)
        self._provide_gradients(self.used[name])
        if shape not in self.recordings:
            new = self.occurrences[shape] == 1
            if "mlm_mask" in batch or new or len(self.recordings) == MAX_GRAPHS:
                return self.run(name, batch, divisor_on_device)
            self.recordings[shape] = self._record(name, batch, divisor_on_device)
        recording = self.recordings[shape]
        for column, values in batch.items():
            recording.batch[column].copy_(values)
        recording.divisor.copy_(divisor_on_device)
        recording.graph.replay()
        return recording.loss

    def _first_pass(self, name: str, batch: Batch, divisor: torch.Tensor) -> torch.Tensor:
        """Run a task's first pass, which shows the parameters that the task uses."""
        loss = self.run(name, batch, divisor)
        self.used[name] = [parameter for parameter in self.parameters if parameter.grad is not None]
        for parameter in self.used[name]:
            assert parameter.grad is not None
            lasting = self.gradients.setdefault(parameter, parameter.grad)
            if lasting is not parameter.grad:
                parameter.grad = lasting.copy_(parameter.grad)
        return loss

    def _provide_gradients(self, used: list[nn.Parameter]) -> None:
        """Begin a step with gradients of zero, in the tensors that keep their addresses."""
        if used[0].grad is None:
            torch._foreach_zero_([self.gradients[parameter] for parameter in used])
            for parameter in used:
                parameter.grad = self.gradients[parameter]

    def _record(self, name: str, batch: Batch, divisor: torch.Tensor) -> Recording:
        """Record a pass without computing it. All graphs share memory for activations: one is replayed at a time."""
        self.pool = self.pool or torch.cuda.graph_pool_handle()
        inputs = {column: values.clone() for column, values in batch.items()}
        divisor_input = divisor.clone()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            loss = self.run(name, inputs, divisor_input)
        return Recording(graph, inputs, divisor_input, loss)
