# ruff: noqa: RUF012 - pydantic copies mutable defaults
"""Checks of the records of tasks and targets. What differs between kinds of task is in `tasks/<kind>/spec.py`."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import WrapValidator

from stiltwalk.config.fields import (
    MAX_INT,
    Block,
    Characters,
    Flag,
    Language,
    Languages,
    Line,
    LineOrNumber,
    Model,
    Name,
    Seed,
    Text,
    check_keys,
    distinct,
    matching,
    must,
    must_also,
    must_be,
    one_of,
    parse,
    require,
    whole_number,
)
from stiltwalk.tasks.base_spec import TASK_SPLITS, KindSpec, kind_names, load_spec
from stiltwalk.training.settings import Settings

MAX_WORLD_ROWS = 10**6  # the generated world cannot generate more distinct rows


def _is_count(value: Any, least: int) -> bool:
    return type(value) is int and least <= value <= MAX_INT


def _has_rows(split: str) -> bool:
    """Whether the end of a part such as train[300:400] is after its beginning."""
    begin, _, end = split.partition("[")[2].rstrip("]").partition(":")
    return not end or int(end) > int(begin or 0)


def _allow_total(value: Any, check_mapping: Callable[[Any], Any]) -> Any:
    """Accept null, or one number for all languages, in place of a mapping."""
    if isinstance(value, dict):
        return check_mapping(value)
    if value is None or _is_count(value, least=0):
        return value
    raise must_be(f"null, a whole number from 0 to {MAX_INT} or a mapping of languages to such numbers")


def _allow_mapping(value: Any, check_list: Callable[[Any], Any]) -> Any:
    """Accept one mapping in place of a list."""
    return value if isinstance(value, dict) else check_list(value)


RowLimit = Annotated[
    int | None,
    must(f"null or a whole number from 1 to {MAX_INT}", lambda value: value is None or _is_count(value, least=1)),
]
Repository = Annotated[str, matching(r"\w[\w.-]*/\w[\w.-]*", "owner/name, as on the hub")]
Revision = Annotated[str, matching(r"\w[\w+.-]*(/\w[\w+.-]*)*", "a branch, tag or commit of the hub")]
Split = Annotated[
    str,
    matching(r"\w[\w.-]*(\[\d{0,9}:\d{0,9}\])?", "a split or a part of it, such as train[300:]"),
    must_also("a part that has rows", _has_rows),
]
RowCounts = Annotated[dict[Language, Annotated[int, whole_number(0)]], WrapValidator(_allow_total)]
HubSplits = Annotated[list[Any], distinct(), WrapValidator(_allow_mapping)]


class Sample(Model):
    """How many rows of each split are taken; null takes all."""

    train: RowLimit
    validation: RowLimit
    test: RowLimit
    seed: Seed


class HubSplit(Model):
    """Where on the hub the rows of a split are."""

    path: Repository
    name: Line
    """The configuration of the data set. `{language}` stands for the language, or for its entry in `codes`."""
    split: Split
    revision: Revision
    columns: dict[Any, Line]
    """Our name of each column, and the data set's."""
    where: dict[Line, LineOrNumber] = {}
    """Values that rows must have in some columns."""
    codes: dict[Language, Line] = {}
    """What the data set calls each language."""
    each: Languages = []
    """The languages whose rows are joined into one split."""
    published: RowCounts | None = None
    """The published number of rows, of all languages or by language."""

    def check_languages(self, place: str, languages: Sequence[str]) -> None:
        """Raise InputError if several languages would get the same rows, or a language has no code.

        place: the dotted key. languages: those that the split is read in, unless `each` names others.
        """
        languages = self.each or languages
        varies = any("{language}" in str(text) for text in (self.name, *self.where.values()))
        words = "a template with {language}, unless `where` has one; otherwise all languages get the same rows"
        require(varies or len(languages) < 2, f"{place}.name", self.name, words)
        if "codes" in self.model_fields_set:
            for language in languages:
                words = f"a mapping that has a code for '{language}', one of the languages"
                require(language in self.codes, f"{place}.codes", self.codes, words)


class Record(Model):
    """A task or a target. Which of these keys a record has depends on its kind."""

    kind: Name
    own: Flag = False
    """Whether the rows are read from the user's own files."""
    labels: Annotated[list[Line], distinct(least=2)] | None = None
    notes: Annotated[list[Text], distinct()] = []
    drop_characters: Characters = ""
    layout: Annotated[str, one_of("tokens", "sentences")] | None = None
    """Of own rows in one of several layouts: which one. If it is not set, the lines show it."""
    options: Block = {}
    training: Block = {}
    sample: Block = {}
    train: HubSplits = []
    validation: HubSplits = []
    test: HubSplits = []
    shuffled: Flag = False
    """Of a task: whether its labels are shuffled over its rows."""
    languages: Languages = []
    """Of a target: the languages that it is tested in."""
    leaked_by: Annotated[list[Any], distinct()] = []
    """Of a target: the tasks that train on its training rows."""
    parts: dict[Annotated[str, one_of("validation", "test")], Name] = {}
    """Of a target with own rows: what the files call each split."""


@dataclass(frozen=True)
class Defaults:
    """Fields of the configuration that records build on.

    encoder_size: the layers of the generated world's encoder and its longest input; None for an encoder from the hub.
    """

    source: str
    kinds: Mapping[str, dict[str, Any]]
    sample: dict[str, Any]
    training: dict[str, Any]
    encoder_size: tuple[int, int] | None


@dataclass(frozen=True)
class Entry:
    """A record with its dotted key, the facts about its kind, and the splits that such a record has."""

    place: str
    record: Record
    spec: KindSpec
    splits: tuple[str, ...]


def check_task(name: str, value: Any, defaults: Defaults) -> None:
    """Raise InputError if the record of a task has a wrong field."""
    place = f"tasks.{name}"
    record = parse(Record, value, place)
    spec = _load_spec_among([kind for kind in kind_names() if load_spec(kind).is_task], record, place)
    entry = Entry(place, record, spec, TASK_SPLITS)
    _check_origin(entry, f"task of kind {spec.name}", spec.own_task_rows)
    _check_record_keys(entry, [], ["shuffled"])
    words = f"false: the labels of a task of kind {spec.name} do not fit every row"
    require(spec.can_shuffle or not record.shuffled, f"{place}.shuffled", True, words)
    for split in TASK_SPLITS:
        _check_split(entry, split, [])
    _check_overrides(entry, defaults)


def check_target(name: str, value: Any, tasks: Collection[str], defaults: Defaults) -> None:
    """Raise InputError if the record of a target has a wrong field. tasks: the names of all tasks."""
    place = f"xtreme.{name}"
    record = parse(Record, value, place)
    spec = _load_spec_among([kind for kind in kind_names() if load_spec(kind).target_splits], record, place)
    entry = Entry(place, record, spec, spec.target_splits)
    _check_origin(entry, f"target of kind {spec.name}", spec.own_target_rows)
    _check_record_keys(entry, ["languages", *(["parts"] if record.own else [])], ["leaked_by", "parts"])
    words = "a mapping of validation and test, such as {validation: dev, test: test}"
    require("parts" not in record.model_fields_set or len(record.parts) == 2, f"{place}.parts", record.parts, words)
    spec.check_languages(name, record.languages, f"{place}.languages")
    for number, task in enumerate(record.leaked_by):
        is_task = isinstance(task, str) and task in tasks
        require(is_task, f"{place}.leaked_by.{number}", task, f"one of {', '.join(tasks)}")
    for split in spec.target_splits:
        _check_split(entry, split, record.languages if split in spec.multilingual_splits else [])
    _check_overrides(entry, defaults)


def _load_spec_among(kinds: Sequence[str], record: Record, place: str) -> KindSpec:
    require(record.kind in kinds, f"{place}.kind", record.kind, f"one of {', '.join(kinds)}")
    return load_spec(record.kind)


def _check_origin(entry: Entry, subject: str, own_rows: bool) -> None:
    """Check whether the rows may come from the hub or the user's own files.

    subject: what the message calls the record. own_rows: whether its rows can be the user's own.
    """
    own, place = entry.record.own, f"{entry.place}.own"
    require(own_rows or not own, place, own, f"false: a {subject} cannot read your own files")
    on_hub = bool(entry.spec.columns)
    require(on_hub or own, place, own, f"true: a {subject} can only read your own files")


def _check_record_keys(entry: Entry, required: Sequence[str], optional: Sequence[str]) -> None:
    """Check that a record has the keys of its kind and no others, and labels if it needs them.

    required, optional: keys of all tasks or of all targets.
    """
    record, spec = entry.record, entry.spec
    required = ["kind", *required]
    optional = ["own", "notes", "options", "training", "sample", *optional]
    if not record.own:
        required += entry.splits
    elif spec.columns:
        optional += entry.splits
    if spec.can_drop_characters and not record.own:
        optional.append("drop_characters")
    if spec.own_layouts and record.own:
        optional.append("layout")
    labels_optional = record.own and spec.labels_from_own_rows
    if spec.needs_labels:
        (optional if labels_optional else required).append("labels")
    check_keys([key for key in Record.model_fields if key in record.model_fields_set], required, optional, entry.place)
    if spec.needs_labels and not labels_optional:
        require(record.labels is not None, f"{entry.place}.labels", None, "a list of 2 or more")


def _check_split(entry: Entry, split: str, languages: Sequence[str]) -> None:
    """Check where the rows of a split are. languages: those that the split is read in, if several."""
    for place, value in _numbered(f"{entry.place}.{split}", getattr(entry.record, split)):
        hub_split = parse(HubSplit, value, place)
        entry.spec.check_columns(hub_split.columns, entry.record.labels or [], f"{place}.columns")
        hub_split.check_languages(place, languages)


def _numbered(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield each item of a list, or the value itself, with its dotted key."""
    if isinstance(value, list):
        yield from ((f"{place}.{number}", item) for number, item in enumerate(value))
    else:
        yield place, value


def _check_overrides(entry: Entry, defaults: Defaults) -> None:
    """Check what a record sets in place of the scale's `kinds`, `training` and `sample`."""
    place, record = entry.place, entry.record
    if record.options:
        values = defaults.kinds[entry.spec.name] | record.options
        options = parse(entry.spec.options, values, f"{place}.options")
        if defaults.encoder_size:
            options.check_encoder(f"{place}.options", *defaults.encoder_size)
    if record.training:
        check_keys(record.training, [], Settings.keys(), f"{place}.training")
        Settings.read(defaults.training | record.training, f"{place}.training")
    sample = defaults.sample | record.sample
    parse(Sample, sample, f"{place}.sample")
    if defaults.source == "world":
        words = f"a whole number from 1 to {MAX_WORLD_ROWS}, as the rows are generated"
        for split in entry.splits:
            key = f"{place}.sample.{split}" if split in record.sample else f"sample.{split}"
            require(sample[split] is not None and sample[split] <= MAX_WORLD_ROWS, key, sample[split], words)
