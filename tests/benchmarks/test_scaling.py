"""The simulator of sweeps on many machines: what bounds the speed-up of a tiny design."""

import pytest

from scaling import MACHINES, ROOT, SPEEDS, GivenSpeed, Scaling, draw_figure, format_table, scale_sweep, spread
from stiltwalk.sweep.plan import Sweep
from stiltwalk.utils.durations import VARIABLE


@pytest.fixture(scope="module")
def scaling() -> Scaling:
    sweep = Sweep.make(["mnli", "squad"], "all", [1, 2], ["baseline", "single"], ["scale=base"], root=ROOT)
    return scale_sweep("tiny", sweep, SPEEDS["base"].tokens_per_second)


def test_the_speed_up_keeps_its_bounds_and_grows(scaling: Scaling):
    speed_ups = [scaling.speed_up(number) for number in MACHINES]
    assert speed_ups[0] == pytest.approx(1)
    for number, speed_up in zip(MACHINES, speed_ups, strict=True):
        assert speed_up <= min(number, scaling.limit) * (1 + 1e-9)
    assert speed_ups == sorted(speed_ups)
    assert speed_ups[-1] == pytest.approx(scaling.limit)  # with a machine for every task only the chain counts


def test_the_longest_chain_leads_through_a_fork_to_an_order(scaling: Scaling):
    assert len(scaling.tasks) == 1 + 2 * (2 + 5)  # the shared stages; for each seed two forks and five orders
    assert scaling.chain in (
        ["shared", "step-mnli-s1", "mnli-squad-s1"],
        ["shared", "step-squad-s1", "squad-mnli-s1"],
    )
    assert scaling.steps == pytest.approx(sum(s for name, s in scaling.tasks.items() if name.startswith("step-")))


def test_no_duration_of_this_machine_is_read(tmp_path, monkeypatch):
    (tmp_path / "times.jsonl").write_text("not JSON")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "times.jsonl"))
    assert not GivenSpeed(1.0).durations


def test_the_table_and_the_figure(scaling: Scaling, tmp_path):
    assert {line.count("|") for line in format_table([scaling]).splitlines()} == {10}
    draw_figure([scaling] * 3, "base", tmp_path / "new/speedup.png")
    assert 0 < (tmp_path / "new/speedup.png").stat().st_size < 150_000


def test_labels_are_spread():
    heights = spread([75.0, 50.0, 74.0], ratio=1.25)
    low, middle, high = sorted(heights)
    assert heights == [high, low, middle]
    assert min(high / middle, middle / low) >= 1.24
