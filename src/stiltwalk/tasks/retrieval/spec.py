"""Sentence retrieval (Tatoeba)."""

from stiltwalk.tasks.base_spec import KindSpec, SearchOptions

SPEC = KindSpec(
    name="retrieval",
    options=SearchOptions,
    trained=False,
    target_splits=("test",),
    columns=("source", "target"),
    own_task_rows=False,
)
