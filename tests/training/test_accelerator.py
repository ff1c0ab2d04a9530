"""The accelerator for the settings of a training."""

import pytest
import torch

from stiltwalk.training.settings import Settings
from stiltwalk.utils.errors import InputError
from toy import SETTINGS, toy_accelerator


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_precision_that_the_processor_lacks_is_refused(precision, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    settings = Settings.read(SETTINGS | {"mixed_precision": precision})
    message = rf"training\.mixed_precision is {precision}, .*-S training\.mixed_precision=no"
    with pytest.raises(InputError, match=message), toy_accelerator(settings):
        pass
