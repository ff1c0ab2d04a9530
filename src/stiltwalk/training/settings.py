"""The hyper-parameters of one training, or of prediction alone, checked before anything expensive starts."""

from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args

from stiltwalk.utils.errors import InputError

Precision = Literal["no", "bf16", "fp16"]
Keep = Literal["last", "best"]
Attention = Literal["sdpa", "eager", "flex_attention", "flash_attention_2"]
Sampler = Literal["proportional", "capped", "temperature", "uniform"]

Requirement = tuple[str, bool, str]  # a setting, whether its value is allowed, and what it must be


@dataclass(frozen=True, kw_only=True)
class PredictionSettings:
    """The settings of a stage that only predicts: a block of params.yaml.

    It is `plan.prediction` for probes and `plan.targets.<target>.training` for a target that is searched.
    """

    attention: Attention
    """Implementation of attention: sdpa is fused; eager is faster on a CPU for tiny hidden sizes. flex_attention and
    flash_attention_2 are for GPUs, and the latter needs the package flash-attn."""
    mixed_precision: Precision
    """Precision of passes through encoder and heads; weights stay float32. fp16 is for GPUs without bf16."""
    threads: int | None
    """CPU threads of each process; null uses all cores. float32 sums, and so the bytes of results, depend on it."""
    prediction_tokens: int
    """Padded tokens in one batch of prediction."""
    where: str = "training"
    """The block of params.yaml that the settings come from."""

    @classmethod
    def keys(cls) -> dict[str, Any]:
        """Return the keys of a block, with the types of their values."""
        return {field.name: field.type for field in fields(cls) if field.name != "where"}

    @classmethod
    def read(cls, block: dict[str, Any], where: str = "training") -> Self:
        """Return the settings in a block of params.yaml.

        where: the path of the block.

        Raises InputError if a key is missing or unknown, or a value is not allowed.
        """
        keys = cls.keys()
        if wrong := sorted(keys.keys() ^ block.keys()):
            raise InputError(f"params.yaml: {where} has missing or unknown keys: {', '.join(wrong)}")
        typed = [check_type(key, block[key], expected) for key, expected in keys.items()]
        require(typed, block, where)
        settings = cls(**block, where=where)
        require(settings.requirements(), block, where)
        return settings

    def requirements(self) -> list[Requirement]:
        """Return what the values must be, beside their types."""
        return [
            one_of("attention", self.attention, Attention),
            one_of("mixed_precision", self.mixed_precision, Precision),
            ("threads", self.threads is None or self.threads >= 1, "null or 1 or more"),
            ("prediction_tokens", self.prediction_tokens >= 1, "1 or more"),
        ]

    def override(self, name: str) -> str:
        """Return what to write after -S to change a setting for this block alone, if that is possible.

        Joint steps and the probes `retention` and `trajectory` have no block of their own in conf/. What is set for
        them is set for every training.
        """
        match self.where.split("."):
            case ["plan", "targets", target, "training"]:
                return f"++xtreme.{target}.training.{name}"
            case ["plan", "mixtures", mixture, "training"] if "+" not in mixture:
                return f"++tasks.{mixture}.training.{name}"
        return f"training.{name}"


@dataclass(frozen=True, kw_only=True)
class Settings(PredictionSettings):
    """The hyper-parameters of a training: a block `training` of params.yaml."""

    epochs: float
    """Passes over the training rows; part of a pass is allowed."""
    batch_size: int
    """Examples per optimizer step, over all processes and micro-batches."""
    micro_batch_tokens: int
    """Padded tokens that one process trains on at once (at least one example). Memory grows with it."""
    learning_rate: float
    """Peak of the schedule, which is linear warm-up, then linear decay to 0."""
    warmup: float
    """Share of the steps that warm up."""
    weight_decay: float
    """AdamW's weight decay; biases and layer norms are not decayed."""
    max_grad_norm: float
    """Gradients are clipped to this norm."""
    dropout: float | None
    """Dropout of encoder and heads; null keeps the encoder's own, and uses 0.1 in the heads."""
    gradient_checkpointing: bool
    """Compute each layer's activations again in the backward pass: less memory, more time, no CUDA graphs."""
    cuda_graphs: bool
    """On one GPU, record the passes of recurring batch shapes and replay them: short batches train several times as
    fast. Recorded passes keep memory for their activations. Not with gradient checkpointing."""
    evaluations: int
    """Upper limit on evaluations of the validation rows during a training, the one at its end included."""
    keep: Keep
    """Weights to keep: those after the last step, or those of the best evaluation."""
    retries: int
    """How many times a training whose loss is not finite, or which learned nothing, is repeated with another seed."""
    sampler: Sampler
    """How a joint step divides its steps among its tasks: by their rows; by their rows, of which at most `cap` count
    (T5's examples-proportional mixing, as in X-STILTs); by their rows to the power of 1 / `temperature`; or equally.
    Every batch belongs to one task."""
    cap: int
    """Rows of each task that count in an epoch of a joint step with sampler: capped. X-STILTs uses 2^17."""
    temperature: float
    """1 is proportional; the higher it is, the more equal are the shares."""

    def requirements(self) -> list[Requirement]:
        """Return what the values must be, beside their types."""
        return [
            *super().requirements(),
            ("epochs", self.epochs > 0, "above 0"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("micro_batch_tokens", self.micro_batch_tokens >= 1, "1 or more"),
            ("learning_rate", self.learning_rate > 0, "above 0"),
            ("warmup", 0 <= self.warmup < 1, "from 0 to below 1"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("max_grad_norm", self.max_grad_norm > 0, "above 0"),
            ("dropout", self.dropout is None or 0 <= self.dropout < 1, "null or from 0 to below 1"),
            ("evaluations", self.evaluations >= 1, "1 or more"),
            one_of("keep", self.keep, Keep),
            ("retries", self.retries >= 0, "0 or more"),
            one_of("sampler", self.sampler, Sampler),
            ("cap", self.cap >= 1, "1 or more"),
            ("temperature", self.temperature > 0, "above 0"),
        ]


def check_type(key: str, value: Any, expected: Any) -> Requirement:
    """Return the requirement that a value is of the expected type. Numbers have to be below 2^31."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**31
    is_whole = is_number and isinstance(value, int)
    rules: dict[Any, tuple[bool, str]] = {
        int: (is_whole, "a whole number below 2^31"),
        int | None: (is_whole or value is None, "null or a whole number below 2^31"),
        float: (is_number, "a number below 2^31"),
        float | None: (is_number or value is None, "null or a number below 2^31"),
        bool: (isinstance(value, bool), "true or false"),
    }
    holds, rule = rules.get(expected, (True, ""))
    return key, holds, rule


def one_of(key: str, value: Any, choices: Any) -> Requirement:
    """Return the requirement that a value is one of the choices of a Literal type."""
    return key, value in get_args(choices), f"one of {', '.join(get_args(choices))}"


def require(requirements: list[Requirement], block: dict[str, Any], where: str) -> None:
    """Raise InputError for the first requirement that does not hold."""
    for key, holds, rule in requirements:
        if not holds:
            raise InputError(f"params.yaml: {where}.{key} is {block[key]!r:.80}; it must be {rule}")
