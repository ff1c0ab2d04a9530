"""The table of a sweep: one score for every order, seed and target, incomplete as it may be."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from stiltwalk.utils.errors import InputError

ALL = "all"
COLUMNS = {
    "scores": ["order", "seed", "target", "language", "score"],
    "validation": ["order", "seed", "target", "score"],
}


@dataclass(frozen=True)
class Cells:
    """Scores by (order, seed), 0 to 100; an order is its steps joined by commas, "" the baseline.

    `scores` has a column a target and "all", the mean over the targets where none is missing; a cell that lacks one of
    its target's languages is missing (NaN), for a mean over fewer languages is another measure. `languages` holds the
    complete cells of a target by language, `validation` the English validation scores of the tuned targets.
    """

    tasks: list[str]
    kinds: Mapping[str, str]
    scores: pd.DataFrame
    languages: dict[str, pd.DataFrame]
    validation: pd.DataFrame

    @property
    def targets(self) -> list[str]:
        """The targets, without "all"."""
        return list(self.languages)

    @property
    def names(self) -> list[str]:
        """Every order and control, sorted."""
        return sorted(set(self.scores.index.get_level_values("order")))

    @property
    def orders(self) -> list[str]:
        """The orders proper: the permutations of all the tasks."""
        return [name for name in self.names if sorted(steps(name)) == sorted(self.tasks)]

    @property
    def singles(self) -> list[str]:
        """The orders of one of the tasks alone."""
        return [name for name in self.names if name in self.tasks]

    @property
    def joint(self) -> str | None:
        """The control that has all the tasks in one step."""
        tasks = sorted("+".join(self.tasks).split("+"))
        return next((name for name in self.names if "," not in name and sorted(name.split("+")) == tasks), None)

    def of_orders(self, target: str) -> pd.Series:
        """The scores of the orders proper that are there, by (order, seed)."""
        return among(self.scores[target], self.orders).dropna()


def read_cells(scores: pd.DataFrame, validation: pd.DataFrame, tasks: Sequence[str], kinds: Mapping[str, str]) -> Cells:
    """The tidy tables of a sweep as cells, whatever the order of their rows; rows without a score are left out.

    Raises InputError for fewer than two tasks, a missing column, an order that is NaN, a row that is there twice, and a
    task or target without a kind.
    """
    if len(tasks) < 2:
        raise InputError(f"tasks={list(tasks)!r} has no orders to compare; name two tasks or more")
    scores, validation = checked(scores, "scores"), checked(validation, "validation")
    if unknown := sorted({*tasks, *scores["target"]} - kinds.keys()):
        raise InputError(f"kinds has no kind for '{unknown[0]}'; name one for every task and target")
    wide = scores.pivot(index=["order", "seed"], columns=["target", "language"], values="score")
    wide = wide.sort_index(axis=0).sort_index(axis=1)
    targets = sorted(set(scores["target"]))
    languages = {target: wide[target].dropna() for target in targets}
    means = pd.DataFrame({target: table.mean(axis=1) for target, table in languages.items()}, index=wide.index)
    means[ALL] = means.mean(axis=1, skipna=False)
    tuned = validation.pivot(index=["order", "seed"], columns="target", values="score").sort_index(axis=0)
    return Cells(list(tasks), kinds, means, languages, tuned.sort_index(axis=1))


def checked(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table's rows that have a score."""
    columns = COLUMNS[name]
    if missing := [column for column in columns if column not in table]:
        raise InputError(f"{name} has no column '{missing[0]}'; its columns are to be {', '.join(columns)}")
    if table["order"].isna().any():
        raise InputError(f"{name} has an order that is NaN; read its file with keep_default_na=False")
    table = table[columns].dropna()
    if (twice := table.duplicated(columns[:-1])).any():
        row = ", ".join(map(str, table.loc[twice, columns[:-1]].min()))
        raise InputError(f"{name} has two scores for ({row}); leave one")
    return table


def steps(order: str) -> list[str]:
    """The steps of an order, none of the baseline's."""
    return order.split(",") if order else []


def among(values: Any, orders: Sequence[str]) -> Any:
    """The rows of a table or series by (order, seed) that belong to these orders."""
    return values[values.index.get_level_values("order").isin(orders)]


def t_interval(values: pd.Series | np.ndarray) -> dict[str, Any]:
    """Mean, sd and 95 % t interval of independent values, one a seed; NaN where there are too few."""
    found = np.asarray(values, float)
    found = found[~np.isnan(found)]
    mean, sd = (found.mean() if len(found) else math.nan), (found.std(ddof=1) if len(found) > 1 else math.nan)
    return {"mean": mean, "sd": sd, "n": len(found)} | bounds(mean, sd / math.sqrt(max(len(found), 1)), len(found) - 1)


def bounds(mean: float, error: float, df: float) -> dict[str, float]:
    """The ends of a 95 % t interval; NaN without degrees of freedom."""
    half = stats.t.ppf(0.975, df) * error if df > 0 else math.nan
    return {"low": mean - half, "high": mean + half}
