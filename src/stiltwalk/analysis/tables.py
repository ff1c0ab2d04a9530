"""Tables of scores: from experiments or from CSV files, in the one form that the statistics read."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import pandas as pd

from stiltwalk.analysis.cells import split_order
from stiltwalk.analysis.settings import mixtures_of, targets_of
from stiltwalk.sweep.experiments import Experiment
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.text import count

OPTIONAL = ("language", "flag", "target_kind", "last_kind")
"""Columns that a table of scores may lack: language; what is wrong with the score (`flag`); and the kinds of the target
and of the order's last task, without which recency is not analysed."""
KEY = ("order", "seed", "target", "language")
SURPLUS = "surplus"  # the key under which csv keeps fields beyond the header's
NO_FLAG = ("0", "false", "no", "none", "nan")
SCORES = ("order", "seed", "target", "language", "score", "flag", "target_kind", "last_kind")
VALIDATION = ("order", "seed", "target", "score")


@dataclass(frozen=True)
class ScoreTables:
    """The scores of a sweep, one row for each order, seed, target and language."""

    scores: pd.DataFrame
    """The columns of SCORES. An order is its steps joined by commas, "" for the baseline."""
    validation: pd.DataFrame
    """English validation scores of the tuned targets: the columns of VALIDATION."""

    @property
    def orders(self) -> list[tuple[str, ...]]:
        """The distinct orders."""
        return [tuple(split_order(order)) for order in dict.fromkeys(self.scores["order"])]

    @property
    def target_kinds(self) -> dict[str, str]:
        """The kinds of targets that are known."""
        return _known(dict(zip(self.scores["target"], self.scores["target_kind"], strict=True)))

    @property
    def task_kinds(self) -> dict[str, str]:
        """The kinds of the tasks that an order ends with, as far as they are known."""
        last_tasks = (order.rpartition(",")[2] for order in self.scores["order"])
        return _known(dict(zip(last_tasks, self.scores["last_kind"], strict=True)))

    @property
    def language_means(self) -> dict[str, dict[str, dict[str, float]]]:
        """Every language's score by target and order, as means over seeds; empty without languages."""
        means: dict[str, dict[str, dict[str, float]]] = {}
        named = self.scores[self.scores["language"] != ""]
        for (target, order, language), group in named.groupby(["target", "order", "language"], sort=True):
            means.setdefault(target, {}).setdefault(order, {})[language] = round(mean(group["score"]), 6)
        return means

    def of_seeds(self, seeds: Sequence[int]) -> "ScoreTables":
        """The rows of these seeds."""
        return ScoreTables(*(table[table["seed"].isin(seeds)] for table in (self.scores, self.validation)))

    def write(self, folder: Path) -> None:
        """Write scores.csv and validation.csv, with all digits and in a fixed sequence of rows."""
        folder.mkdir(parents=True, exist_ok=True)
        for table, name in ((self.scores, "scores"), (self.validation, "validation")):
            keys = [column for column in ("target", "order", "seed", "language") if column in table]
            table.sort_values(keys).to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")


def score_tables(experiments: Sequence[Experiment]) -> ScoreTables:
    """Return the tables of experiments, at most one for each order and seed."""
    scores, validation = [], []
    kinds = step_kinds(experiments)
    for experiment in experiments:
        order, targets = ",".join(experiment.order), targets_of(experiment)
        last_kind = kinds[experiment.order[-1]] if experiment.order else ""
        step_flags = [f"{place} {flag}" for place, flag in experiment.flags.items() if place not in targets]
        for target, cell in experiment.cells["targets"].items():
            own = [experiment.flags[target]] if target in experiment.flags else []
            facts = "; ".join([*step_flags, *own]), targets[target]["task"]["kind"], last_kind
            key = order, experiment.seed, target
            scores += [(*key, language, float(score), *facts) for language, score in cell["languages"].items()]
            if cell["validation"] is not None:
                validation.append((*key, float(cell["validation"])))
    return ScoreTables(pd.DataFrame(scores, columns=SCORES), pd.DataFrame(validation, columns=VALIDATION))


def read_tables(scores: Path, validation: Path | None, separator: str = ",") -> ScoreTables:
    """Read the tables of a sweep from CSV files. separator: between the steps of an order.

    Raises InputError, with file, line and value, for a file that cannot be read, a missing column, a number that is
    none, two rows of one cell, validation scores that fit no row of the scores, and fewer than two orders of several
    tasks or fewer than two seeds.
    """
    if not separator:
        raise InputError("--separator is empty; name what stands between the tasks of an order")
    table = _read_csv(scores, SCORES, separator)
    if table.empty:
        raise InputError(f"{scores} has no rows; it needs one for every order, seed and target")
    if table["score"].max() <= 1:
        raise InputError(f"{scores} has no score above 1; scores are from 0 to 100, so multiply them by 100")
    tables = ScoreTables(
        table, _read_csv(validation, VALIDATION, separator) if validation else pd.DataFrame(columns=VALIDATION)
    )
    for column in ("order", "seed", "target"):
        if strange := set(tables.validation[column]) - set(table[column]):
            raise InputError(
                f"{validation} has the {column} {min(strange)!r}, which {scores} lacks; rename or remove it"
            )
    orders = [order for order in tables.orders if len(order) > 1]
    if len(orders) < 2:
        raise InputError(
            f"{scores} has {count(len(orders), 'order')} of several tasks, and a comparison needs two; the column "
            f"order joins tasks by {separator!r} (--separator)"
        )
    if len(seeds := set(table["seed"])) < 2:
        raise InputError(
            f"{scores} has only the seed {seeds.pop()}, which cannot tell an effect of order from noise; run two more"
        )
    return tables


def step_kinds(experiments: Sequence[Experiment]) -> dict[str, str]:
    """Return the kind of every step.

    A joint step has the kind of its tasks if they agree. Otherwise its kind is `joint`, which no target has.
    """
    kinds: dict[str, str] = {}
    for experiment in experiments:
        for mixture in mixtures_of(experiment).values():
            kinds |= {task: options["kind"] for task, options in mixture["tasks"].items()}
    for step in dict.fromkeys(step for experiment in experiments for step in experiment.order):
        of_tasks = {kinds[task] for task in step.split("+")}
        kinds[step] = of_tasks.pop() if len(of_tasks) == 1 else "joint"
    return kinds


def _known(kinds: Mapping[str, str]) -> dict[str, str]:
    return {name: kind for name, kind in kinds.items() if name and kind}


def _read_csv(path: Path, columns: Sequence[str], separator: str) -> pd.DataFrame:
    """Read the columns of a table, and check every row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey=SURPLUS)
            rows = [(reader.line_num, row) for row in reader]
            header = reader.fieldnames or []
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV file in UTF-8 ({error}); save it as one") from None
    required = [column for column in columns if column not in OPTIONAL]
    if missing := [column for column in required if column not in header]:
        raise InputError(
            f"{path} has no column '{missing[0]}' (its first line is {','.join(header)!r}); it needs the columns "
            f"{', '.join(required)}, separated by commas"
        )
    keys: dict[tuple[object, ...], int] = {}
    parsed = []
    for line, row in rows:
        if SURPLUS in row or None in row.values():
            raise InputError(f"{path}:{line} does not have {len(header)} fields as the first line has; quote commas")
        values: dict[str, object] = {column: row.get(column, "").strip() for column in columns}
        values["order"] = _parse_order(path, line, str(values["order"]), separator)
        values["seed"] = _parse_number(path, line, "seed", str(values["seed"]), int)
        values["score"] = _parse_number(path, line, "score", str(values["score"]), float)
        _check_score(path, line, values["score"])
        for column in ("target", "language"):
            if column in header and column in columns and not values[column]:
                named = column == "target" or any(other["language"] for _, other in rows)
                if named:
                    raise InputError(f"{path}:{line}: {column} is empty; name the {column}")
        if str(values.get("flag", "")).lower() in NO_FLAG:
            raise InputError(f"{path}:{line}: flag is {values['flag']!r}; say what is wrong, or leave it empty")
        key = tuple(values[column] for column in KEY if column in columns)
        if key in keys:
            cell = ", ".join(f"{name} {part}" for name, part in zip(KEY, key, strict=False) if part != "")
            raise InputError(f"{path}:{line}: the score of {cell} is also on line {keys[key]}; remove one")
        keys[key] = line
        parsed.append(values)
    return pd.DataFrame(parsed, columns=columns)


def _parse_order(path: Path, line: int, text: str, separator: str) -> str:
    """Return the steps of an order joined by commas; the baseline may be written as `none`."""
    steps = [] if text.lower() in ("", "none", "nan") else [step.strip() for step in text.split(separator)]
    if not all(steps):
        raise InputError(f"{path}:{line}: order is {text!r}, in which the name of a task is empty; name it")
    if any("," in step for step in steps):
        raise InputError(f"{path}:{line}: order is {text!r}; join its tasks by {separator!r}, or use --separator")
    return ",".join(steps)


def _check_score(path: Path, line: int, score: object) -> None:
    if not 0 <= float(str(score)) <= 100:
        raise InputError(f"{path}:{line}: score is {score}; scores are from 0 to 100")


def _parse_number(path: Path, line: int, column: str, text: str, kind: type) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (kind is int and number != round(number)):
        wanted = "a whole number" if kind is int else "a number with a point; leave out rows without a score"
        raise InputError(f"{path}:{line}: {column} is {text!r}; it must be {wanted}")
    return kind(number)  # type: ignore[no-any-return]
