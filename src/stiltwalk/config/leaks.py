"""Leaks: intermediate tasks that train on rows of a target, so that what they add to its score is not transfer.

The records name some of them, such as MNLI's for XNLI under whatever name a data set has it. Others are found by what
the records read on the hub: the same repository, configuration and split.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """Rows of a data set on the hub: `split` from row `first` to before row `end`."""

    path: str
    name: str
    split: str
    first: float
    end: float

    def overlaps(self, other: "Part") -> bool:
        """Return whether two parts share rows."""
        same = (self.path, self.name, self.split) == (other.path, other.name, other.split)
        return same and self.first < other.end and other.first < self.end


def find_leaks(
    order: Sequence[str],
    targets: Sequence[str],
    tasks: Mapping[str, Record],
    records: Mapping[str, Record],
    on_hub: bool,
) -> dict[str, list[str]]:
    """Return, for every target, the tasks of the order that train on its training or test rows.

    tasks, records: the full records of tasks and targets. on_hub: whether the rows are those that the records name.
    A task with shuffled labels counts only if a record names it.
    """
    names = dict.fromkeys(task for step in order for task in step.split("+"))
    return {
        target: [
            task
            for task in names
            if task in records[target].get("leaked_by", []) or (on_hub and _shares_rows(tasks[task], records[target]))
        ]
        for target in targets
    }


def _shares_rows(task: Record, target: Record) -> bool:
    if task.get("shuffled") or task.get("own") or target.get("own"):
        return False
    trained = list(_parts(task, ["train"], ["en"]))
    of_target = [*_parts(target, ["train"], ["en"]), *_parts(target, ["test"], target.get("languages", []))]
    return any(one.overlaps(other) for one in trained for other in of_target)


def _parts(record: Record, splits: Iterable[str], languages: Iterable[str]) -> Iterator[Part]:
    """Yield what a record reads for its splits, in each of these languages unless its `each` names others."""
    for split in splits:
        places = record.get(split) or []
        for place in [places] if isinstance(places, Mapping) else places:
            name, start, end = re.fullmatch(r"([^\[]*)(?:\[(\d*):(\d*)\])?", place["split"]).groups()  # type: ignore[union-attr]
            for language in place.get("each") or languages:
                configuration = place["name"].replace("{language}", str(place.get("codes", {}).get(language, language)))
                yield Part(
                    place["path"].casefold(),
                    configuration,
                    name,
                    float(start or 0),
                    float(end) if end else float("inf"),
                )
