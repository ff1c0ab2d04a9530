"""What an engine does. Which tasks have finished is not its business: see records.py."""

from collections.abc import Sequence
from typing import Protocol

from stiltwalk.sweep.graph import Task
from stiltwalk.sweep.records import Job


class Engine(Protocol):
    """Runs tasks, each after those that it needs."""

    def submit(self, tasks: Sequence[Task], jobs: Sequence[Job]) -> int:
        """Submit tasks in the sequence of their priority; those that wait or run already are left alone.

        Returns how many were submitted. Raises InputError if the engine refuses.
        """

    def states(self) -> dict[str, str]:
        """Return `waiting` or `running` by task; what has ended is missing."""

    def cancel(self) -> None:
        """End all tasks; trainings save their state."""
