"""Settings of the encoder that is pretrained on the mini world."""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class EncoderSettings:
    """The `encoder` section of the configuration. conf/scale/mini.yaml holds the values that we use."""

    seed: int
    threads: int
    """CPU threads. Another number of threads gives slightly different weights."""

    layers: int
    hidden_size: int
    heads: int
    intermediate_size: int
    dropout: float
    max_length: int
    """Longest input in tokens."""

    position: float
    """Scale of the sinusoids that initialise the position embeddings."""
    affinity: float
    """Scale of the initial query and key weights, which make words attend to similar words."""

    facts: int
    """Number of facts whose words are counted for the word embeddings."""
    tellings: int
    """Number of languages in which each of these facts is expressed."""
    components: int
    """Dimensions of a word embedding that hold its meaning. The others hold its languages."""
    accent: float
    """Length of the vectors that distinguish the languages, relative to the meaning."""

    documents: int
    """Number of text pairs for masked language modelling."""
    translations: float
    """Share of these pairs whose two texts are in different languages."""
    steps: int
    batch_size: int
    learning_rate: float
    mask: float
    """Share of the tokens that are predicted."""
    thaw: float
    """Share of the steps during which the word embeddings are frozen."""
    thaw_rate: float
    """Learning rate of the word embeddings after that, relative to `learning_rate`."""

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> "EncoderSettings":
        """Read the settings from the `encoder` section; other keys are ignored."""
        return cls(**{setting.name: params[setting.name] for setting in fields(cls)})
