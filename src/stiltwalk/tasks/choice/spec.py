"""Multiple choice (HellaSwag, Cosmos QA, CommonsenseQA)."""

from collections.abc import Mapping, Sequence

from stiltwalk.config.fields import check_keys
from stiltwalk.tasks.base_spec import KindSpec


class ChoiceSpec(KindSpec):
    """Facts about multiple choice."""

    def sequences_per_row(self, labels: Sequence[str]) -> int:
        """Return one sequence for each choice."""
        return len(labels)

    def check_columns(self, columns: Mapping[str, str], labels: Sequence[str], place: str) -> None:
        """Raise InputError unless the choices are in one column, or in a column for each label."""
        choices = ["choices"] if "choices" in columns else [f"choice{number}" for number in range(len(labels))]
        check_keys(columns, [*self.columns, *choices], self.optional_columns, place)


SPEC = ChoiceSpec(
    name="choice",
    columns=("prompt", "label"),
    optional_columns=("question", "stem"),
    needs_labels=True,
    can_shuffle=True,
)
