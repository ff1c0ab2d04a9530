"""Facts about a kind of task that the configuration checks and cost estimates read.

No stage imports these modules. Stages of several kinds and `retrieval` run again after a change, because they depend on
whole folders; they write the same bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from stiltwalk.config.fields import Length, Model, Share, check_keys, one_of, require

TASK_SPLITS = ("train", "validation")  # of an intermediate task


class KindOptions(Model):
    """The options of a kind: a block `kinds.<kind>` of the configuration."""

    max_length: Length
    """Longest input in tokens."""

    def check_encoder(self, place: str, layers: int, max_length: int) -> None:
        """Raise InputError if the generated world's encoder is too small.

        place: the dotted key of these options. layers, max_length: of the encoder.
        """
        at_most = f"at most {max_length}, encoder.max_length"
        require(self.max_length <= max_length, f"{place}.max_length", self.max_length, at_most)


class SearchOptions(KindOptions):
    """The options of a kind that searches with sentence vectors."""

    depth: Share
    """The hidden state that is read, as a share of the encoder's layers."""
    pooling: Annotated[str, one_of("mean", "first")]
    """How a sentence's vector is made from those of its tokens."""


@dataclass(frozen=True, kw_only=True)
class KindSpec:
    """Facts about a kind of task, and what its tasks may be. Subclasses override the methods."""

    name: str
    options: type[KindOptions] = KindOptions
    tokenizer_options: tuple[str, ...] = ()
    """The options that the tokenizer of the kind reads, besides max_length."""

    trained: bool = True
    """Whether a target of this kind is tuned. Retrieval and mining search with the encoder as it is."""
    freezes_encoder: bool = False
    """Whether the task trains added weights only; such a task is alone in its step."""

    target_splits: tuple[str, ...] = ()
    """The splits of a target of this kind; empty if no target can be of this kind."""
    columns: tuple[str, ...] = ()
    """The columns that a data set on the hub must have; empty if rows of this kind are not read from the hub."""
    optional_columns: tuple[str, ...] = ()
    """The columns that a data set on the hub may have."""
    own_task_rows: bool = True
    """Whether a task's rows can be read from a user's own files."""
    own_target_rows: bool = False
    """Whether a target's rows can be read from a user's own files."""
    own_layouts: bool = False
    """Whether a user's own files may have one of several layouts."""
    can_drop_characters: bool = False
    """Whether characters can be removed from the words of data sets on the hub."""

    needs_labels: bool = False
    labels_from_own_rows: bool = False
    """Whether the labels of a user's own rows are read from the training rows if the record lists none."""
    can_shuffle: bool = False
    """Whether labels may be shuffled over rows: any label fits any row."""

    typical_fill: float = 0.3
    """Typical tokens of a row, as a share of max_length: for cost estimates."""

    @property
    def is_task(self) -> bool:
        """Whether an intermediate task can be of this kind."""
        return self.trained

    @property
    def multilingual_splits(self) -> tuple[str, ...]:
        """The splits that a target has in every language. A tuned target has English rows to train on."""
        return ("test",) if self.trained else self.target_splits

    def sequences_per_row(self, labels: Sequence[str]) -> int:
        """Return how many sequences of tokens a row consists of."""
        return 1

    def check_columns(self, columns: Mapping[str, str], labels: Sequence[str], place: str) -> None:
        """Raise InputError unless the columns of a data set on the hub are those of the kind.

        columns: our name of each column, and the data set's. labels: of the record. place: the dotted key of `columns`.
        """
        check_keys(columns, self.columns, self.optional_columns, place)

    def check_languages(self, target: str, languages: Sequence[str], place: str) -> None:
        """Raise InputError if a target of this kind cannot have one of its languages.

        place: the dotted key of `languages`.
        """
        if not self.trained:
            require("en" not in languages, place, list(languages), "without en: the other side is English")


@cache
def load_spec(kind: str) -> KindSpec:
    """Return the facts about a kind."""
    spec: Any = import_module(f"stiltwalk.tasks.{kind}.spec").SPEC
    assert isinstance(spec, KindSpec)
    return spec


@cache
def kind_names() -> tuple[str, ...]:
    """Return the names of all kinds: the folders beside this file that have a spec.py."""
    return tuple(sorted(path.parent.name for path in Path(__file__).parent.glob("*/spec.py")))
