"""Hyper-parameters are checked before anything starts, and messages say how to change them."""

import pytest

from stiltwalk.training.settings import PredictionSettings, Settings
from stiltwalk.utils.errors import InputError
from toy import SETTINGS

PREDICTION = {name: SETTINGS[name] for name in ("attention", "mixed_precision", "threads", "prediction_tokens")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "training.epochs is 0"),
        ({"epochs": "two"}, "training.epochs is 'two'"),
        ({"batch_size": 2.5}, "training.batch_size is 2.5"),
        ({"mixed_precision": False}, "training.mixed_precision is False"),
        ({"speed": 1}, "unknown keys: speed"),
    ],
)
def test_bad_hyper_parameters_are_named(change, message):
    with pytest.raises(InputError, match=message):
        Settings.read(SETTINGS | change)


def test_a_missing_hyper_parameter_is_named():
    block = {name: value for name, value in SETTINGS.items() if name != "warmup"}
    with pytest.raises(InputError, match=r"plan.targets.xnli.training has missing or unknown keys: warmup$"):
        Settings.read(block, "plan.targets.xnli.training")


def test_settings_of_prediction_are_checked_as_strictly():
    assert PredictionSettings.read(PREDICTION, "plan.prediction").prediction_tokens == 64
    assert isinstance(Settings.read(SETTINGS), PredictionSettings)
    for change, message in (
        ({"prediction_tokens": 0}, r"plan\.prediction\.prediction_tokens is 0; it must be 1 or more"),
        ({"attention": "flash"}, r"plan\.prediction\.attention is 'flash'; it must be one of sdpa, eager"),
        ({"threads": True}, r"plan\.prediction\.threads is True; it must be null or a whole number below 2\^31"),
        ({"epochs": 2}, r"plan\.prediction has missing or unknown keys: epochs"),
    ):
        with pytest.raises(InputError, match=message):
            PredictionSettings.read(PREDICTION | change, "plan.prediction")


@pytest.mark.parametrize(
    ("where", "override"),
    [
        ("plan.targets.panx.training", "++xtreme.panx.training.cap"),
        ("plan.mixtures.mnli.training", "++tasks.mnli.training.cap"),
        ("plan.mixtures.mnli+squad.training", "training.cap"),
        ("training", "training.cap"),
    ],
)
def test_the_override_of_one_training_leaves_the_others_alone(where, override):
    assert Settings.read(SETTINGS, where).override("cap") == override


def test_stages_that_only_predict_are_changed_with_every_training():
    settings = PredictionSettings.read(PREDICTION, "plan.prediction")
    assert settings.override("prediction_tokens") == "training.prediction_tokens"
