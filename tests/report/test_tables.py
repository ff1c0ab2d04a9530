"""What the tables mark and leave out."""

from stiltwalk.report.labels import OrderLabels
from stiltwalk.report.tables.retention import retention_measures_table
from stiltwalk.report.tables.scores import mark
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


def test_scores_are_marked_by_hsus_comparisons_with_the_best():
    """A score that equals the best only after rounding is not the best."""
    means = {"a": 70.04, "b": 70.03, "c": 68.9, "control": 70.05, "low": 69.0}
    entries = {
        name: {"steps": [name], "control": name in ("control", "low"), "scores": {"xnli": {"mean": mean}}}
        for name, mean in means.items()
    }
    study = {"orders": list(entries.values()), "comparisons": {"xnli": {"may_be_best": [["a"], ["b"]]}}}
    marks = {name: mark(entry, "xnli", study) for name, entry in entries.items()}
    assert marks == {"a": "★", "b": "○", "c": "", "control": "▲", "low": ""}


def test_long_orders_are_abbreviated_with_a_legend():
    labels = OrderLabels([NINE])
    assert labels.order(NINE) == "an › mn › qq › sq › s2 › he › cc › co › cm"
    assert "s2 squad2" in labels.legend and labels.order(["squad2"]) == "squad2" and OrderLabels([THREE]).legend == ""
