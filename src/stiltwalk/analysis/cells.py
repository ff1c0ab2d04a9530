"""The scores of a sweep as a table with one cell per order, seed and target. Cells may be missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from stiltwalk.utils.errors import InputError

ALL = "all"  # the column with the mean over the targets
COLUMNS = {
    "scores": ["order", "seed", "target", "language", "score"],
    "validation": ["order", "seed", "target", "score"],
}
Table = TypeVar("Table", pd.DataFrame, pd.Series)


@dataclass(frozen=True)
class Cells:
    """Scores (0 to 100) indexed by (order, seed). An order is its steps joined by commas, "" for the baseline."""

    tasks: list[str]
    """The permuted tasks."""
    kinds: Mapping[str, str]
    """The kinds of tasks, as far as they are known."""
    target_kinds: Mapping[str, str]
    """The kinds of targets; a task may have the same name and another kind."""
    scores: pd.DataFrame
    """One column per target, and "all" with the mean over the targets, NaN unless every target has a score.

    A cell that lacks one of its target's languages is NaN, because a mean over fewer languages is another measure.
    """
    languages: dict[str, pd.DataFrame]
    """By target, the complete cells with one column per language."""
    validation: pd.DataFrame
    """English validation scores, one column per tuned target."""
    independent: bool = False
    """Whether orders share no checkpoints."""

    @property
    def targets(self) -> list[str]:
        """The targets, without "all"."""
        return list(self.languages)

    @property
    def names(self) -> list[str]:
        """All orders and controls, sorted."""
        return sorted(set(self.scores.index.get_level_values("order")))

    @property
    def orders(self) -> list[str]:
        """The proper orders: the permutations of all tasks."""
        return [name for name in self.names if sorted(split_order(name)) == sorted(self.tasks)]

    @property
    def singles(self) -> list[str]:
        """The controls that train a single task."""
        return [name for name in self.names if name in self.tasks]

    @property
    def joint(self) -> str | None:
        """The control that trains all tasks in one step, if the sweep has it."""
        tasks = sorted("+".join(self.tasks).split("+"))
        return next((name for name in self.names if "," not in name and sorted(name.split("+")) == tasks), None)

    def order_scores(self, target: str) -> pd.Series:
        """Return the scores of the proper orders by (order, seed), without missing cells."""
        return select_orders(self.scores[target], self.orders).dropna()


def read_cells(
    scores: pd.DataFrame,
    validation: pd.DataFrame,
    tasks: Sequence[str],
    kinds: Mapping[str, str],
    target_kinds: Mapping[str, str] | None = None,
    *,
    independent: bool = False,
) -> Cells:
    """Build the cells from a sweep's tables, with rows in any sequence; rows without a score are dropped.

    kinds: of tasks; also of targets, unless `target_kinds` has those.

    Raises InputError for fewer than two tasks, a target named `all`, a missing column, an order that is NaN, and a
    repeated row.
    """
    if len(tasks) < 2:
        raise InputError(f"tasks={list(tasks)!r} has no orders to compare; name at least two tasks")
    scores, validation = _check_table(scores, "scores"), _check_table(validation, "validation")
    target_kinds = kinds if target_kinds is None else target_kinds
    wide = scores.pivot(index=["order", "seed"], columns=["target", "language"], values="score")
    wide = wide.sort_index(axis=0).sort_index(axis=1)
    targets = sorted(set(scores["target"]))
    if ALL in targets:
        raise InputError(
            f"the scores have a target named {ALL!r}, which is the name of the mean over targets; rename it"
        )
    # Not `wide[target]`, which is a series where the only language is "".
    languages = {target: wide.xs(target, axis=1, level="target").dropna() for target in targets}
    means = pd.DataFrame({target: table.mean(axis=1) for target, table in languages.items()}, index=wide.index)
    means[ALL] = means.mean(axis=1, skipna=False)
    tuned = validation.pivot(index=["order", "seed"], columns="target", values="score").sort_index(axis=0)
    return Cells(list(tasks), kinds, target_kinds, means, languages, tuned.sort_index(axis=1), independent)


def split_order(order: str) -> list[str]:
    """Return the steps of an order; the baseline has none."""
    return order.split(",") if order else []


def select_orders(values: Table, orders: Sequence[str]) -> Table:
    """Return the rows of a table or series indexed by (order, seed) that belong to these orders."""
    return values[values.index.get_level_values("order").isin(orders)]


def _check_table(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the rows that have a score, after checking columns, orders and duplicates."""
    columns = COLUMNS[name]
    if missing := [column for column in columns if column not in table]:
        raise InputError(f"{name} has no column '{missing[0]}'; it needs the columns {', '.join(columns)}")
    if table["order"].isna().any():
        raise InputError(f"{name} has NaN in its column 'order'; read its file with keep_default_na=False")
    table = table[columns].dropna()
    if (repeated := table.duplicated(columns[:-1])).any():
        row = ", ".join(map(str, table.loc[repeated, columns[:-1]].sort_values(columns[:-1]).iloc[0]))
        raise InputError(f"{name} has two scores for ({row}); remove one")
    return table
