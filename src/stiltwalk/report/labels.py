"""How the report labels orders and their steps."""

from collections.abc import Iterable, Sequence

MAX_LENGTH = 34  # characters of an order; beyond it, tasks are abbreviated
BASELINE = "none (baseline)"


class OrderLabels:
    """Labels for orders: task names in full, or two-character codes if an order would be too long to read."""

    def __init__(self, orders: Iterable[Sequence[str]]):
        """`orders` are all the orders that will be labelled, each a sequence of steps."""
        orders = list(orders)
        longest = max((len(" → ".join(order)) for order in orders), default=0)
        tasks = dict.fromkeys(task for order in orders for step in order for task in step.split("+"))
        self.codes = abbreviate(tasks) if longest > MAX_LENGTH else {}

    def step(self, step: str) -> str:
        """Return the label of one step, which may join several tasks by `+`."""
        return "+".join(self.codes.get(task, task) for task in step.split("+"))

    def order(self, order: Sequence[str]) -> str:
        """Return the steps from first to last. A task that is the whole order is never abbreviated."""
        if len(order) == 1 and "+" not in order[0]:
            return order[0]
        return (" › " if self.codes else " → ").join(map(self.step, order)) or BASELINE

    @property
    def legend(self) -> str:
        """What the abbreviations stand for; empty if there are none."""
        return ", ".join(f"{code} {task}" for task, code in self.codes.items() if code != task)


def abbreviate(tasks: Iterable[str]) -> dict[str, str]:
    """Give each task a code: its first character and a digit or else a letter of the rest, whichever is free first."""
    codes: dict[str, str] = {}
    for task in tasks:
        rest = [c for c in task[1:] if c.isdigit()] + [c for c in task[1:] if c.isalpha()]
        free = [task[0] + c for c in rest if task[0] + c not in codes.values()]
        codes[task] = free[0] if free else task
    return codes
