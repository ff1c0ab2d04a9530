"""Tagging of tokens (UDPOS, PAN-X, CCG)."""

from stiltwalk.tasks.base_spec import KindSpec

SPEC = KindSpec(
    name="tagging",
    target_splits=("train", "validation", "test"),
    columns=("tokens", "tags"),
    own_layouts=True,
    can_drop_characters=True,
    needs_labels=True,
    labels_from_own_rows=True,
    typical_fill=0.25,
)
