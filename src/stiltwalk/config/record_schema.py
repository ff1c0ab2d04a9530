# ruff: noqa: RUF012 - pydantic copies mutable defaults
"""Checks of the records of tasks and targets. What differs between kinds of task is in `tasks/<kind>/spec.py`."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import WrapValidator

from stiltwalk.config.fields import (
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

MAX_WORLD_ROWS = 10**6  # the generated world has no more rows that differ
COUNT_WORDS = "null or a whole number from {} to 2147483647"


def _is_count(value: Any, least: int) -> bool:
    return value is None or (type(value) is int and least <= value < 2**31)


def _has_rows(split: str) -> bool:
    """Whether the end of a part such as train[300:400] is after its beginning."""
    begin, _, end = split.partition("[")[2].rstrip("]").partition(":")
    return not end or int(end) > int(begin or 0)


def _allow_one_count(value: Any, check_mapping: Any) -> Any:
    """Accept one number for all languages in place of a mapping."""
    if isinstance(value, dict):
        return check_mapping(value)
    if not _is_count(value, least=0):
        raise must_be(COUNT_WORDS.format(0))
    return value


def _allow_one_place(value: Any, check_list: Any) -> Any:
    """Accept one place in place of a list."""
    return value if isinstance(value, dict) else check_list(value)


RowLimit = Annotated[int | None, must(COUNT_WORDS.format(1), lambda value: _is_count(value, least=1))]
Repository = Annotated[str, matching(r"\w[\w.-]*/\w[\w.-]*", "owner/name, as on the hub")]
Revision = Annotated[str, matching(r"\w[\w+.-]*(/\w[\w+.-]*)*", "a branch, tag or commit of the hub")]
Split = Annotated[
    str,
    matching(r"\w[\w.-]*(\[\d{0,9}:\d{0,9}\])?", "a split or a part of it, such as train[300:]"),
    must_also("a part that has rows", _has_rows),
]
RowCounts = Annotated[dict[Language, Annotated[int, whole_number(0)]], WrapValidator(_allow_one_count)]
Places = Annotated[list[Any], distinct(), WrapValidator(_allow_one_place)]


class Sample(Model):
    """How many rows of each split are taken."""

    train: RowLimit
    validation: RowLimit
    test: RowLimit
    seed: Seed


class Place(Model):
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

    def check(self, place: str, languages: Sequence[str]) -> None:
        """Raise InputError if several languages would get the same rows, or a language has no code.

        place: the dotted key. languages: those that the place is read in unless it has its own.
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
    options: Block = {}
    training: Block = {}
    sample: Block = {}
    train: Places = []
    validation: Places = []
    test: Places = []
    shuffled: Flag = False
    """Of a task: whether its labels are shuffled over its rows."""
    languages: Languages = []
    """Of a target: the languages that it is tested in."""
    leaked_by: Annotated[list[Name], distinct()] = []
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


def check_task(name: str, value: Any, defaults: Defaults) -> None:
    """Raise InputError if the record of a task has a wrong field."""
    place = f"tasks.{name}"
    record, spec = _read_record(value, place, [kind for kind in kind_names() if load_spec(kind).is_task])
    _check_origin(record, place, f"a task of kind {spec.name}", spec.own_task_rows, bool(spec.columns))
    _check_record_keys(value, place, record, spec, TASK_SPLITS, required=[], optional=["shuffled"])
    words = f"false: the labels of a task of kind {spec.name} do not fit every row"
    require(spec.can_shuffle or not record.shuffled, f"{place}.shuffled", record.shuffled, words)
    for split in TASK_SPLITS:
        _check_places(value.get(split, []), f"{place}.{split}", record, spec, [])
    _check_overrides(record, place, spec, TASK_SPLITS, defaults)


def check_target(name: str, value: Any, tasks: Collection[str], defaults: Defaults) -> None:
    """Raise InputError if the record of a target has a wrong field. tasks: the names of all tasks."""
    place = f"xtreme.{name}"
    record, spec = _read_record(value, place, [kind for kind in kind_names() if load_spec(kind).target_splits])
    _check_origin(record, place, f"a target of kind {spec.name}", spec.own_target_rows, bool(spec.columns))
    keys = {"required": ["languages"], "optional": ["leaked_by", "parts"]}
    _check_record_keys(value, place, record, spec, spec.target_splits, **keys)
    if record.own or "parts" in value:
        words = "a mapping of validation and test, such as {validation: dev, test: test}"
        require(len(record.parts) == 2, f"{place}.parts", value.get("parts"), words)
    spec.check_languages(name, record.languages, f"{place}.languages")
    for number, task in enumerate(record.leaked_by):
        require(task in tasks, f"{place}.leaked_by.{number}", task, f"one of {', '.join(tasks)}")
    for split in spec.target_splits:
        languages = record.languages if split in spec.multilingual_splits else []
        _check_places(value.get(split, []), f"{place}.{split}", record, spec, languages)
    _check_overrides(record, place, spec, spec.target_splits, defaults)


def _read_record(value: Any, place: str, kinds: Sequence[str]) -> tuple[Record, KindSpec]:
    record = parse(Record, value, place)
    require(record.kind in kinds, f"{place}.kind", record.kind, f"one of {', '.join(kinds)}")
    return record, load_spec(record.kind)


def _check_origin(record: Record, place: str, subject: str, own_rows: bool, hub_rows: bool) -> None:
    """Check where the rows come from.

    subject: what the message calls the record. own_rows, hub_rows: whether its rows can come from the user's own files,
        and from the hub.
    """
    require(own_rows or not record.own, f"{place}.own", True, f"false: own rows of {subject} are not read")
    words = f"true: the rows of {subject} are read from your own files only"
    require(hub_rows or record.own, f"{place}.own", False, words)


def _check_record_keys(
    value: Mapping[str, Any],
    place: str,
    record: Record,
    spec: KindSpec,
    splits: Sequence[str],
    required: Sequence[str],
    optional: Sequence[str],
) -> None:
    """Check that a record has the keys of its kind and group and no others, and labels where it needs them."""
    required = ["kind", *required]
    optional = ["own", "notes", "options", "training", "sample", *optional]
    if record.own:
        optional += splits if spec.columns else []
    else:
        required += splits
        optional += ["drop_characters"] if spec.can_drop_characters else []
    if spec.needs_labels:
        unlisted = record.own and spec.labels_from_own_rows
        (optional if unlisted else required).append("labels")
        labels = value.get("labels", [])
        require(unlisted or labels is not None, f"{place}.labels", None, "a list of 2 or more")
    check_keys(value, required, optional, place)


def _check_places(value: Any, key: str, record: Record, spec: KindSpec, languages: Sequence[str]) -> None:
    """Check the places of a split. key: its dotted key. languages: those that the split is read in, if several."""
    for place_key, place_value in _numbered(value, key):
        place = parse(Place, place_value, place_key)
        spec.check_columns(place.columns, record.labels or [], f"{place_key}.columns")
        place.check(place_key, languages)


def _numbered(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Yield each place with its dotted key."""
    if isinstance(value, list):
        yield from ((f"{key}.{number}", item) for number, item in enumerate(value))
    else:
        yield key, value


def _check_overrides(record: Record, place: str, spec: KindSpec, splits: Sequence[str], defaults: Defaults) -> None:
    """Check what a record sets in place of the scale's `kinds`, `training` and `sample`."""
    if record.options:
        options = parse(spec.options, defaults.kinds[spec.name] | record.options, f"{place}.options")
        if defaults.encoder_size:
            options.check_encoder(f"{place}.options", *defaults.encoder_size)
    if record.training:
        check_keys(record.training, [], Settings.keys(), f"{place}.training")
        Settings.read(defaults.training | record.training, f"{place}.training")
    sample = defaults.sample | record.sample
    parse(Sample, sample, f"{place}.sample")
    if defaults.source == "world":
        words = f"a whole number from 1 to {MAX_WORLD_ROWS}, as the rows are generated"
        for split in splits:
            key = f"{place}.sample.{split}" if split in record.sample else f"sample.{split}"
            require(sample[split] is not None and sample[split] <= MAX_WORLD_ROWS, key, sample[split], words)
