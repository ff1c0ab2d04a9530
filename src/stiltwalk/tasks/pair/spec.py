"""Classification of pairs of texts (MNLI, XNLI, PAWS-X, ...)."""

from stiltwalk.tasks.base_spec import KindSpec

SPEC = KindSpec(
    name="pair",
    target_splits=("train", "validation", "test"),
    columns=("text_a", "text_b", "label"),
    needs_labels=True,
    can_shuffle=True,
    typical_fill=0.34,
)
