"""Extractive question answering (SQuAD, XQuAD, ...)."""

from collections.abc import Sequence

from pydantic import ValidationInfo, field_validator

from stiltwalk.config.fields import Flag, PositiveInt, must_be
from stiltwalk.scoring.tasks import XTREME_TASKS
from stiltwalk.tasks.base_spec import KindOptions, KindSpec
from stiltwalk.utils.errors import InputError


class QaOptions(KindOptions):
    """Options of question answering, as in BERT's run_squad.py."""

    max_query_length: PositiveInt
    """Tokens of a question; the rest is cut off."""
    doc_stride: PositiveInt
    """Tokens between the starts of two windows on a context."""
    max_answer_length: PositiveInt
    """Tokens of a predicted answer."""
    n_best: PositiveInt
    """How many starts and ends of answers are combined."""
    unanswerable: Flag = False
    """Whether questions may have no answer, as in SQuAD 2.0."""

    @field_validator("doc_stride")
    @classmethod
    def _check_doc_stride(cls, stride: int, info: ValidationInfo) -> int:
        """Refuse windows that would skip text. The tokenizer checks the exact limit, which its special tokens lower."""
        if {"max_length", "max_query_length"} <= info.data.keys():
            room = info.data["max_length"] - info.data["max_query_length"]
            if stride >= room:
                raise must_be(f"below {room}, max_length less max_query_length")
        return stride


class QaSpec(KindSpec):
    """Facts about question answering."""

    def check_languages(self, target: str, languages: Sequence[str], place: str) -> None:
        """Raise InputError if the target's metric has no rules for one of its languages."""
        for language in languages:
            try:
                XTREME_TASKS[target].compute_metrics([[""]], [""], language)
            except InputError as error:
                raise InputError(f"params.yaml: {place}: {error}") from None


SPEC = QaSpec(
    name="qa",
    options=QaOptions,
    tokenizer_options=("doc_stride", "max_query_length", "unanswerable"),
    target_splits=("train", "validation", "test"),
    columns=("id", "context", "question", "answers"),
    typical_fill=0.4,
)
