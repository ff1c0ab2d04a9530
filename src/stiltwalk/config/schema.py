"""What every field of the configuration may be: checked while `dvc exp run` composes params.yaml, before any stage.

`order`, `targets`, `seed` and `checkpoints` are checked in `config/orders.py`, hyper-parameters in
`training/settings.py`, and the options of a kind of task in `tasks/<kind>/spec.py`.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from stiltwalk.config.fields import (
    Block,
    Length,
    Model,
    Name,
    PositiveInt,
    PositiveScale,
    PositiveShare,
    Scale,
    Seed,
    Share,
    check_keys,
    matching,
    must_also,
    number,
    one_of,
    parse,
    require,
)
from stiltwalk.config.record_schema import Defaults, Repository, Revision, Sample, check_target, check_task
from stiltwalk.scoring.tasks import XTREME_TASKS
from stiltwalk.tasks.base_spec import kind_names, load_spec
from stiltwalk.training.settings import Settings

PrivateCode = Annotated[
    str, matching("q[a-t][a-z]", "one of the codes qaa to qtz, which ISO 639 reserves for private use")
]
Side = Annotated[str, one_of("before", "after")]


class LanguageTraits(Model):
    """A language of the generated world: see `miniworld.generate.language.Language`, whose defaults apply."""

    order: Annotated[str, one_of("SVO", "SOV", "VSO", "VOS", "OVS", "OSV")] = "SVO"
    adjective: Side = "before"
    adposition: Side = "before"
    article: Annotated[str, one_of("before", "after", "none")] = "before"
    script: Annotated[str, one_of("latin", "greek", "cyrillic", "georgian")] = "latin"
    cognates: Share = 1.0
    homographs: Share = 1.0
    resource: PositiveScale = 1.0


class World(Model):
    """The generated world."""

    seed: Seed
    languages: Annotated[dict[PrivateCode, LanguageTraits], must_also("a mapping of one or more languages", bool)]


class HubEncoder(Model):
    """An encoder from the hub."""

    source: str
    path: Repository
    revision: Revision


class WorldEncoder(Model):
    """An encoder that is pretrained on the generated world: see `miniworld.encoder.encoder_settings`."""

    source: str
    seed: Seed
    threads: PositiveInt

    layers: PositiveInt
    hidden_size: PositiveInt
    heads: PositiveInt
    intermediate_size: PositiveInt
    dropout: Annotated[float, number(0, 1, below=True)]
    max_length: Length

    position: Scale
    affinity: Scale

    facts: PositiveInt
    tellings: PositiveInt
    components: PositiveInt
    accent: Scale

    documents: PositiveInt
    translations: Share
    steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveScale
    mask: PositiveShare
    thaw: Share
    thaw_rate: Scale

    def check_sizes(self, languages: int) -> None:
        """Raise InputError if some fields do not fit others. languages: of the world, including English."""
        widest = min(self.hidden_size - 1, self.facts)
        for name, most, reason in (
            ("tellings", languages, "the number of languages, including English"),
            ("components", widest, "the smaller of encoder.facts and encoder.hidden_size - 1"),
            ("batch_size", self.documents, "encoder.documents"),
        ):
            require(getattr(self, name) <= most, f"encoder.{name}", getattr(self, name), f"at most {most}: {reason}")
        size = self.hidden_size
        require(size % self.heads == 0, "encoder.hidden_size", size, "a multiple of encoder.heads")
        require(size % 2 == 0, "encoder.hidden_size", size, "even")


class Configuration(Model):
    """params.yaml without what is derived."""

    order: Any
    targets: Any
    seed: Any
    checkpoints: Any
    source: Annotated[str, one_of("world", "hub")]
    world: World | None
    encoder: Block
    sample: Sample
    training: Block
    kinds: Block
    tasks: dict[Name, Any]
    xtreme: dict[Annotated[str, one_of(*XTREME_TASKS)], Any]


ENCODERS: dict[str, type[HubEncoder] | type[WorldEncoder]] = {"hub": HubEncoder, "world": WorldEncoder}


def check_fields(tree: Mapping[str, Any]) -> None:
    """Raise InputError if a field of the configuration is not what it has to be.

    tree: the composed configuration without `valid` and `plan`. `tasks` and `xtreme` hold full records.
    """
    config = parse(Configuration, dict(tree), "")
    check_keys(config.training, Settings.keys(), [], "training")
    Settings.read(config.training, "training")
    encoder = check_encoder(config)
    encoder_size = (encoder.layers, encoder.max_length) if isinstance(encoder, WorldEncoder) else None
    check_kinds(config.kinds, encoder_size)
    defaults = Defaults(config.source, config.kinds, tree["sample"], config.training, encoder_size)
    for name, record in config.tasks.items():
        check_task(name, record, defaults)
    for name, record in config.xtreme.items():
        check_target(name, record, config.tasks, defaults)


def check_encoder(config: Configuration) -> HubEncoder | WorldEncoder:
    """Return the encoder. Raises InputError if it has a wrong field, or needs a generated world that there is not."""
    source = config.encoder.get("source")
    known = isinstance(source, str) and source in ENCODERS
    require(known, "encoder.source", source, f"one of {', '.join(ENCODERS)}")
    encoder = parse(ENCODERS[str(source)], config.encoder, "encoder")
    if config.world is None:
        words = "the seed and languages of the generated world, which source or encoder.source selects"
        require("world" not in (config.source, source), "world", None, words)
    elif isinstance(encoder, WorldEncoder):
        encoder.check_sizes(1 + len(config.world.languages))
    return encoder


def check_kinds(kinds: Mapping[str, Any], encoder_size: tuple[int, int] | None) -> None:
    """Raise InputError unless every kind of task has its options.

    encoder_size: the layers of the generated world's encoder and its longest input; None for an encoder from the hub.
    """
    check_keys(kinds, kind_names(), [], "kinds")
    for kind, values in kinds.items():
        options = parse(load_spec(kind).options, values, f"kinds.{kind}")
        if encoder_size:
            options.check_encoder(f"kinds.{kind}", *encoder_size)
