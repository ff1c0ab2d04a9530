"""Which task is trained in which step."""

import numpy as np
import pytest

from stiltwalk.training.sampler import sample_tasks
from stiltwalk.training.settings import Settings
from toy import SETTINGS, nli


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"sampler": "proportional"}, {"a": 20, "b": 2}),
        ({"sampler": "capped", "cap": 24}, {"a": 6, "b": 2}),
        ({"sampler": "uniform"}, {"a": 11, "b": 11}),
        ({"sampler": "temperature", "temperature": 2.0}, {"a": 17, "b": 5}),  # 22 steps as sqrt(80) : sqrt(8)
        ({"sampler": "temperature", "temperature": 0.3}, {"a": 21, "b": 1}),  # the head of b must not stay untrained
    ],
)
def test_a_joint_step_divides_its_steps_as_the_sampler_says(subwords, changes, steps):
    data, settings = {"a": nli(80, subwords), "b": nli(8, subwords)}, Settings.read(SETTINGS | changes)
    schedule = sample_tasks(data, settings, np.random.default_rng(0))
    assert {task: schedule.count(task) for task in data} == steps
    assert schedule == sample_tasks(data, settings, np.random.default_rng(0))
    assert schedule != sorted(schedule)


def test_a_task_that_is_trained_alone_is_not_capped(subwords):
    settings = Settings.read(SETTINGS | {"sampler": "capped", "cap": 24})
    alone = sample_tasks({"a": nli(80, subwords)}, settings, np.random.default_rng(0))
    assert len(alone) == 20
