"""Bitext mining (BUCC 2018)."""

from stiltwalk.config.fields import PositiveInt
from stiltwalk.tasks.base_spec import KindSpec, SearchOptions


class MiningOptions(SearchOptions):
    """Options of bitext mining."""

    neighbours: PositiveInt
    """Nearest neighbours on either side that a pair's margin is computed from."""


SPEC = KindSpec(
    name="mining",
    options=MiningOptions,
    trained=False,
    target_splits=("validation", "test"),
    columns=("source", "target", "source_id", "target_id"),
    own_task_rows=False,
    own_target_rows=True,
)
