"""From files to averages: one task over its languages, then groups of tasks, then all nine (evaluate.py of XTREME).

All scores are on the scale 0 to 100.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from stiltwalk.scoring.tasks import TASKS, Task
from stiltwalk.utils.errors import InputError


@dataclass(frozen=True)
class TaskScores:
    """A task's metrics by language, in XTREME's order of the languages."""

    task: Task
    languages: dict[str, dict[str, float]]

    @cached_property
    def averages(self) -> dict[str, float]:
        """`avg_<metric>`: unweighted mean over the languages, English among them."""
        names = next(iter(self.languages.values()))
        return {f"avg_{name}": mean(metrics[name] for metrics in self.languages.values()) for name in names}

    @cached_property
    def score(self) -> float:
        """The task's one number: (avg_exact_match + avg_f1) / 2, avg_f1 or avg_accuracy."""
        return mean(self.averages[f"avg_{name}"] for name in self.task.score)

    @cached_property
    def lacking(self) -> list[str]:
        """XTREME's languages that are not there, without which its averages are others; none in another world."""
        known = self.task.languages.split()
        there = {language for language in self.languages if language in known}
        return [language for language in known if language not in there] if there - {"en"} else []

    @cached_property
    def by_language(self) -> dict[str, float]:
        """The same number for each language."""
        return {
            language: mean(metrics[name] for name in self.task.score) for language, metrics in self.languages.items()
        }

    @cached_property
    def transfer(self) -> dict[str, float | None]:
        """english, non_english (mean over the other languages), gap = english - non_english; None without both."""
        english = self.by_language.get("en")
        others = [score for language, score in self.by_language.items() if language != "en"]
        non_english = mean(others) if others else None
        gap = None if english is None or non_english is None else english - non_english
        return {"english": english, "non_english": non_english, "gap": gap}


def score_task(name: str, labels: Path, predictions: Path) -> TaskScores:
    """Score a task from its two folders of `test-<language>` files; the languages are those of the labels.

    Raises InputError where the folders do not hold the same languages or a file does not fit its labels.
    """
    task = TASKS[name]
    wanted, found = (_languages(folder, task) for folder in (labels, predictions))
    if not wanted:
        raise InputError(f"{labels} has no label file test-<language>.{task.suffix}")
    if extra := [language for language in found if language not in wanted]:
        raise InputError(f"{predictions / f'test-{extra[0]}.{task.suffix}'} has no label file in {labels}; remove it")
    languages = {}
    for language in wanted:
        file = f"test-{language}.{task.suffix}"
        gold, predicted = task.read(labels / file, predictions / file)
        languages[language] = task.measure(gold, predicted, language)
    return TaskScores(task, languages)


def incomplete(scored: TaskScores) -> str:
    """A line on the languages that XTREME's averages have and these have not; empty where all are there."""
    if not scored.lacking:
        return ""
    whole, named = len(scored.task.languages.split()), scored.lacking[:5]
    more = f" and {len(scored.lacking) - 5} more" if scored.lacking[5:] else ""
    return (
        f"{scored.task.name}: no average of XTREME's, which has {whole} languages: {' '.join(named)}{more} are missing"
    )


def group_scores(scores: Mapping[str, float]) -> dict[str, float]:
    """Means over groups of tasks and over all nine (`all_task`), each only where none of its tasks is missing.

    `scores` holds the one number of each task; unweighted, so that all_task is no mean of the group scores.
    """
    members = [task for task in TASKS.values() if task.group]
    groups = {"all_task": [task.name for task in members]}
    for task in members:
        groups.setdefault(task.group, []).append(task.name)
    return {
        group: mean(scores[name] for name in names) for group, names in groups.items() if scores.keys() >= set(names)
    }


def mean(values: Iterable[float]) -> float:
    """Unweighted mean of at least one value, added up in order as XTREME does."""
    listed = list(values)
    return sum(listed) / len(listed)


def _languages(folder: Path, task: Task) -> list[str]:
    known = {language: number for number, language in enumerate(task.languages.split())}
    found = sorted(path.stem.removeprefix("test-") for path in folder.glob(f"test-*.{task.suffix}"))
    return sorted(found, key=lambda language: known.get(language, len(known)))
