"""Which task is trained in which step."""

import math
from collections.abc import Mapping

import numpy as np

from stiltwalk.training.settings import Settings
from stiltwalk.training.task_data import TaskData


def sample_tasks(data: Mapping[str, TaskData], settings: Settings, generator: np.random.Generator) -> list[str]:
    """Return the task of every optimizer step, shuffled.

    The number of steps is the sum over tasks of rows * epochs / batch size, rounded up. In a joint step, the sampler
    `capped` counts at most `cap` rows of a task. `temperature` and `uniform` divide the steps among the tasks in other
    shares; each task has at least one.
    """
    rows = {name: len(task_data.train) for name, task_data in data.items()}
    if settings.sampler == "capped" and len(rows) > 1:
        rows = {name: min(count, settings.cap) for name, count in rows.items()}
    steps = {name: math.ceil(count * settings.epochs / settings.batch_size) for name, count in rows.items()}
    if settings.sampler in ("temperature", "uniform"):
        power = 1 / settings.temperature if settings.sampler == "temperature" else 0.0
        weights = np.array([count**power for count in rows.values()])
        ends = np.rint(np.cumsum(weights / weights.sum()) * sum(steps.values())).astype(int)
        counts = np.diff(ends, prepend=0)
        counts[counts.argmax()] -= (counts == 0).sum()
        counts[counts == 0] = 1  # the head of every task is saved, and evaluated after later steps
        steps = dict(zip(rows, counts.tolist(), strict=True))
    names = [name for name, count in steps.items() for _ in range(count)]
    return [names[i] for i in generator.permutation(len(names))]


def describe_cost(training: str, schedule: list[str], data: Mapping[str, TaskData], settings: Settings) -> str:
    """Return one line that says how much a training will compute.

    training: its name. schedule: the task of every optimizer step.
    """
    tokens_per_step = {name: settings.batch_size * task_data.train.lengths.mean() for name, task_data in data.items()}
    tokens = sum(schedule.count(name) * count for name, count in tokens_per_step.items())
    rows = ", ".join(f"{name} {len(task_data.train):,} rows" for name, task_data in data.items())
    total = f"{tokens / 1e6:,.2f} M" if tokens >= 1e5 else f"{tokens:,.0f}"
    return f"{training}: {len(schedule):,} steps of {settings.batch_size} ({rows}), {total} tokens"
