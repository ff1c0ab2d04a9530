"""Targeted lexical injection: translation pairs of words, pulled together in one early layer."""

from stiltwalk.config.fields import PositiveInt, PositiveScale, require
from stiltwalk.tasks.base_spec import KindOptions, KindSpec


class LexicalOptions(KindOptions):
    """Options of lexical injection (arXiv 2506.15415)."""

    layer: PositiveInt
    """The hidden state in which translations are pulled together."""
    rank: PositiveInt
    """Rank of LoRA's matrices."""
    alpha: PositiveScale
    """LoRA's scale, divided by the rank."""
    temperature: PositiveScale
    """Of the contrastive loss."""

    def check_encoder(self, place: str, layers: int, max_length: int) -> None:
        """Raise InputError if the generated world's encoder is too small."""
        super().check_encoder(place, layers, max_length)
        require(self.layer <= layers, f"{place}.layer", self.layer, f"at most {layers}, encoder.layers")


SPEC = KindSpec(name="lexical", options=LexicalOptions, freezes_encoder=True)
