"""The benchmark of the statistics of orders."""

import order_statistics


def test_the_table_has_a_rate_for_every_statistic(capsys, monkeypatch):
    monkeypatch.setattr(order_statistics, "DESIGNS", (("all", 3, 3), ("williams", 4, 3)))
    order_statistics.main(sweeps=12, shared=1.0)
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 5 and {len(line) for line in lines[2:]} == {7}
    for cell in lines[3][1:]:
        rate, error = map(float, cell.split(" ± "))
        assert 0 <= rate <= 100 and error < 15
    assert lines[4][4] == "–"  # this design determines no effect of a position
