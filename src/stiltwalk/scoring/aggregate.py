"""From files to averages: one task over its languages, groups of tasks, and all nine tasks (evaluate.py of XTREME).

All scores are from 0 to 100.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from stiltwalk.scoring.tasks import XTREME_TASKS, XtremeTask
from stiltwalk.utils.errors import InputError


@dataclass(frozen=True)
class TaskScores:
    """The metrics of a task by language, in XTREME's order of languages, and warnings about the files."""

    task: XtremeTask
    languages: dict[str, dict[str, float]]
    warnings: list[str] = field(default_factory=list)

    @cached_property
    def averages(self) -> dict[str, float]:
        """`avg_<metric>`: unweighted mean over the languages, including English."""
        names = next(iter(self.languages.values()))
        return {f"avg_{name}": mean(metrics[name] for metrics in self.languages.values()) for name in names}

    @cached_property
    def score(self) -> float:
        """The score of the task: (avg_exact_match + avg_f1) / 2, avg_f1 or avg_accuracy."""
        return mean(self.averages[f"avg_{name}"] for name in self.task.main_metrics)

    @cached_property
    def by_language(self) -> dict[str, float]:
        """The mean of the main metrics for each language."""
        return {
            language: mean(metrics[name] for name in self.task.main_metrics)
            for language, metrics in self.languages.items()
        }

    @cached_property
    def transfer(self) -> dict[str, float | None]:
        """The keys english, non_english (mean over the other languages) and gap = english - non_english.

        A value is None if its languages are missing.
        """
        english = self.by_language.get("en")
        others = [score for language, score in self.by_language.items() if language != "en"]
        non_english = mean(others) if others else None
        gap = None if english is None or non_english is None else english - non_english
        return {"english": english, "non_english": non_english, "gap": gap}

    @cached_property
    def columns(self) -> dict[str, float | None]:
        """The score of the task, and the keys of `transfer`."""
        return {"score": self.score, **self.transfer}

    @cached_property
    def difference_in_languages(self) -> str:
        """Why the averages do not compare with XTREME's: which languages are missing or added; empty if none are.

        Also empty if all languages but English are others than XTREME's, as in the generated world.
        """
        all_languages = self.task.languages
        of_xtreme, added = (set(self.languages) & set(all_languages), set(self.languages) - set(all_languages))
        if added and not of_xtreme - {"en"}:
            return ""
        missing = [language for language in all_languages if language not in of_xtreme]
        parts = [f"without {list_some(missing)}"] if missing else []
        parts += [f"with {list_some(sorted(added))}"] if added else []
        count = f"{len(of_xtreme)} of XTREME's {len(all_languages)} languages"
        return f"{count}, {' and '.join(parts)}" if parts else ""


def score_task(name: str, labels: Path, predictions: Path) -> TaskScores:
    """Score a task from two folders with files `test-<language>.{tsv,json}`. The label files define the languages.

    Raises InputError if the folders do not have the same languages, or a prediction file does not fit its label file.
    """
    task = XTREME_TASKS[name]
    languages, predicted_languages = (_list_languages(folder, task) for folder in (labels, predictions))
    if not languages:
        raise InputError(f"{labels} has no label file test-<language>.{task.suffix}; add one for every language")
    if extra := [language for language in predicted_languages if language not in languages]:
        raise InputError(f"{predictions / f'test-{extra[0]}.{task.suffix}'} has no label file in {labels}; remove it")
    scores: dict[str, dict[str, float]] = {}
    warnings: list[str] = []
    for language in languages:
        file = f"test-{language}.{task.suffix}"
        gold, predicted = task.read_files(labels / file, predictions / file)
        scores[language] = task.compute_metrics(gold, predicted, language)
        warnings += task.check_values(labels / file, predictions / file, language)
    return TaskScores(task, scores, warnings)


def describe_differences(scores: Mapping[str, TaskScores]) -> Iterator[str]:
    """Yield a one-line warning for each task, and each average over tasks, that has other languages than XTREME's."""
    for name, scored in scores.items():
        if difference := scored.difference_in_languages:
            yield f"{name}: the average does not compare with XTREME's, as it is over {difference}"
    for group, names in incomplete_groups(scores).items():
        yield f"{group}: the average does not compare with XTREME's, because of the languages of {', '.join(names)}"


def incomplete_groups(scores: Mapping[str, TaskScores]) -> dict[str, list[str]]:
    """Return, for every group whose tasks all have scores, those with other languages than XTREME's, if any have."""
    incomplete = {
        group: [name for name in names if scores[name].difference_in_languages]
        for group, names in task_groups().items()
        if scores.keys() >= set(names)
    }
    return {group: names for group, names in incomplete.items() if names}


def group_scores(scores: Mapping[str, float]) -> dict[str, float]:
    """Average the scores of tasks over XTREME's groups, and over all nine tasks (`all_task`).

    scores: one score per task. Returns only those averages whose tasks all have a score. The mean is over tasks, so
    all_task is not the mean of the group scores.
    """
    return {
        group: mean(scores[name] for name in names)
        for group, names in task_groups().items()
        if scores.keys() >= set(names)
    }


def task_groups() -> dict[str, list[str]]:
    """Return the names of the tasks of each of XTREME's averages."""
    tasks = [task for task in XTREME_TASKS.values() if task.group]
    groups = {"all_task": [task.name for task in tasks]}
    for task in tasks:
        groups.setdefault(task.group, []).append(task.name)
    return groups


def list_some(names: Sequence[str]) -> str:
    """List names; of more than five, the first five and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return " ".join(names[:5]) + more


def mean(values: Iterable[float]) -> float:
    """Unweighted mean of at least one value, summed in order as XTREME does."""
    items = list(values)
    return sum(items) / len(items)


def _list_languages(folder: Path, task: XtremeTask) -> list[str]:
    """Return the languages with a file in the folder: XTREME's in its order, then any others by code."""
    rank = {language: number for number, language in enumerate(task.languages)}
    languages = sorted(path.stem.removeprefix("test-") for path in folder.glob(f"test-*.{task.suffix}"))
    return sorted(languages, key=lambda language: rank.get(language, len(rank)))
