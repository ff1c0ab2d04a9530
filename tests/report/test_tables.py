"""What the tables mark and leave out."""

import pytest

from stiltwalk.report.labels import OrderLabels
from stiltwalk.report.tables.retention import retention_measures_table
from stiltwalk.report.tables.scores import compare_to_best
from stiltwalk.scoring.retention import retention_measures
from studies import NINE, THREE


def measure_columns(*matrices: list[list[float]]) -> list[str]:
    """The columns of the table of retention measures, for orders with these matrices of scores."""
    values = [retention_measures(matrix, [80.0] * 3) for matrix in matrices]
    measures = [{name: {"mean": value, "sd": None} for name, value in each.items()} for each in values]
    retention = [{"order": THREE, "measures": each} for each in measures]
    return retention_measures_table({"retention": retention, "design": {"seeds": [1]}}, OrderLabels([THREE])).header


def test_forgetting_is_shown_if_it_is_not_the_negative_of_backward_transfer():
    falling, rising = [[90.0], [80.0, 90.0], [75.0, 85.0, 90.0]], [[90.0], [95.0, 90.0], [75.0, 85.0, 90.0]]
    assert "forgetting" not in measure_columns(falling) and "backward transfer" in measure_columns(falling)
    assert "forgetting" in measure_columns(falling, rising)


@pytest.mark.parametrize(
    ("control", "means", "marks"),
    [
        (False, [70.04, 70.03, 68.9], ["★", "≈", ""]),
        (True, [70.05, 69.0, 68.9], ["▲", "≈", ""]),
    ],
)
def test_a_score_that_equals_the_best_only_after_rounding_is_not_the_best(control, means, marks):
    best = {"mean": 70.04, "low": 69.0, "high": 71.08}
    assert [compare_to_best(mean, best, control) for mean in means] == marks
    assert compare_to_best(70.03, best | {"low": None}, control=False) == ""


def test_long_orders_are_abbreviated_with_a_legend():
    labels = OrderLabels([NINE])
    assert labels.order(NINE) == "an › mn › qq › sq › s2 › he › cc › co › cm"
    assert "s2 squad2" in labels.legend and labels.order(["squad2"]) == "squad2" and OrderLabels([THREE]).legend == ""
