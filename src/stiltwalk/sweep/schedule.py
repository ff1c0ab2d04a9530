"""In which sequence the tasks of a sweep run, and how long they take together on so many machines."""

import heapq
from collections.abc import Mapping, Sequence

from stiltwalk.sweep.graph import Task


def by_priority(tasks: Sequence[Task], seconds: Mapping[str, float]) -> list[Task]:
    """Sort tasks seed by seed, and in a seed by the longest way to its end: none comes before what it needs.

    An unfinished sweep thus has complete seeds.
    """
    left = longest_ways(tasks, seconds)
    seeds = list(dict.fromkeys(task.parts[0].seed for task in tasks))
    return sorted(tasks, key=lambda task: (not task.is_shared, seeds.index(task.parts[0].seed), -left[task.name]))


def longest_ways(tasks: Sequence[Task], seconds: Mapping[str, float]) -> dict[str, float]:
    """Return by task how long it takes to do it and then the longest chain of tasks that wait for it."""
    left: dict[str, float] = {task.name: seconds[task.name] for task in tasks}
    for task in reversed(tasks):
        for name in task.after:
            left[name] = max(left[name], seconds[name] + left[task.name])
    return left


def wall_seconds(tasks: Sequence[Task], seconds: Mapping[str, float], machines: int) -> float:
    """Return how long so many machines take, each of which takes the first task of the list that can begin.

    tasks: each after those that it needs.
    """
    waiting = {task.name: len(task.after) for task in tasks}
    followers: dict[str, list[int]] = {task.name: [] for task in tasks}
    for number, task in enumerate(tasks):
        for name in task.after:
            followers[name].append(number)
    ready = [number for number, task in enumerate(tasks) if not task.after]
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < machines:
            number = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[tasks[number].name], number))
        now, number = heapq.heappop(running)
        for follower in followers[tasks[number].name]:
            waiting[tasks[follower].name] -= 1
            if not waiting[tasks[follower].name]:
                heapq.heappush(ready, follower)
    return now
