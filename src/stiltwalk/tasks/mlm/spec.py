"""Masked language modelling on running text."""

from stiltwalk.config.fields import PositiveShare
from stiltwalk.tasks.base_spec import KindOptions, KindSpec


class MlmOptions(KindOptions):
    """Options of masked language modelling."""

    mask: PositiveShare
    """Share of the tokens that are predicted."""


SPEC = KindSpec(name="mlm", options=MlmOptions, tokenizer_options=("mask",), columns=("text",), typical_fill=0.5)
