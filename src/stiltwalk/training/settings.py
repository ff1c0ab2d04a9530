"""The hyper-parameters of one training, checked before anything expensive starts."""

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from stiltwalk.utils.errors import InputError

Precision = Literal["no", "bf16", "fp16"]
Keep = Literal["last", "best"]
Attention = Literal["sdpa", "eager"]
Sampler = Literal["proportional", "capped", "temperature", "uniform"]


@dataclass(frozen=True)
class Settings:
    """One block `training` of params.yaml."""

    epochs: float
    """Passes over the training rows; part of one is allowed."""
    batch_size: int
    """Examples that one optimizer step sees, over all processes and accumulated micro-batches."""
    micro_batch_tokens: int
    """Padded tokens that one process trains on at once (at least one example): what memory grows with."""
    learning_rate: float
    """Peak of the schedule: linear warm-up, then linear decay to 0."""
    warmup: float
    """Share of the steps that warm up."""
    weight_decay: float
    """AdamW's; not on biases and layer norms."""
    max_grad_norm: float
    """Gradients are clipped to this norm."""
    dropout: float | None
    """Of encoder and heads; null keeps the encoder's own, and 0.1 in the heads."""
    attention: Attention
    """How attention is computed: sdpa fused, eager step by step, which is faster for tiny widths on a CPU."""
    mixed_precision: Precision
    """Of passes through encoder and heads; weights stay float32. fp16 on a GPU alone, for those without bf16."""
    gradient_checkpointing: bool
    """Compute each layer's activations anew in the backward pass: less memory, more time, no CUDA graphs."""
    cuda_graphs: bool
    """On one GPU, record the passes of shapes of batch that come again, and play them back: short batches train several
    times as fast. Their activations keep memory of their own. Not with gradient checkpointing."""
    threads: int | None
    """Of the CPU, in each process; null takes all cores. The sums of float32, hence the bytes, depend on it."""
    evaluations: int
    """How often the English validation set is predicted during training, the end included."""
    keep: Keep
    """The weights to keep: those after the last step, or of the best evaluation."""
    prediction_tokens: int
    """Padded tokens in one batch of prediction."""
    retries: int
    """How often a training whose loss is not finite, or which learned nothing, is tried again with the next seed."""
    sampler: Sampler
    """How the steps of a joint step are shared out: by rows, by rows up to `cap` each (T5's examples-proportional
    mixing, X-STILTs'), by rows to the power of 1 / `temperature`, or equally. One batch is of one task."""
    cap: int
    """Rows of a task of a joint step that count, and are passed, in an epoch with sampler: capped. X-STILTs': 2^17."""
    temperature: float
    """1 is proportional, infinity would be uniform."""
    where: str = "training"
    """The block of params.yaml that it was read from."""

    @classmethod
    def keys(cls) -> dict[str, Any]:
        """The keys of a block, with the types of their values."""
        return {field.name: field.type for field in fields(cls) if field.name != "where"}

    @classmethod
    def read(cls, block: dict[str, Any], where: str = "training") -> "Settings":
        """From the block `where` of params.yaml; a key that is missing or unknown, or a bad value, is an InputError."""
        known = cls.keys()
        if odd := sorted(known.keys() ^ block.keys()):
            raise InputError(f"params.yaml: {where} has missing or unknown keys: {', '.join(odd)}")
        for key, kind in known.items():
            value = block[key]
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**31
            count = number and isinstance(value, int)
            rules: dict[Any, tuple[bool, str]] = {
                int: (count, "a whole number below 2^31"),
                int | None: (count or value is None, "null or a whole number below 2^31"),
                float: (number, "a number below 2^31"),
                float | None: (number or value is None, "null or a number below 2^31"),
                bool: (isinstance(value, bool), "true or false"),
            }
            holds, rule = rules.get(kind, (True, ""))
            if not holds:
                raise InputError(f"params.yaml: {where}.{key} is {value!r:.80}; it must be {rule}")
        settings = cls(**block, where=where)
        for name, holds, rule in (
            ("epochs", settings.epochs > 0, "above 0"),
            ("batch_size", settings.batch_size >= 1, "1 or more"),
            ("micro_batch_tokens", settings.micro_batch_tokens >= 1, "1 or more"),
            ("learning_rate", settings.learning_rate > 0, "above 0"),
            ("warmup", 0 <= settings.warmup < 1, "from 0 to below 1"),
            ("weight_decay", settings.weight_decay >= 0, "0 or more"),
            ("max_grad_norm", settings.max_grad_norm > 0, "above 0"),
            ("dropout", settings.dropout is None or 0 <= settings.dropout < 1, "null or from 0 to below 1"),
            ("attention", settings.attention in get_args(Attention), f"one of {', '.join(get_args(Attention))}"),
            (
                "mixed_precision",
                settings.mixed_precision in get_args(Precision),
                f"one of {', '.join(get_args(Precision))}",
            ),
            ("threads", settings.threads is None or settings.threads >= 1, "null or 1 or more"),
            ("evaluations", settings.evaluations >= 1, "1 or more"),
            ("keep", settings.keep in get_args(Keep), f"one of {', '.join(get_args(Keep))}"),
            ("retries", settings.retries >= 0, "0 or more"),
            ("prediction_tokens", settings.prediction_tokens >= 1, "1 or more"),
            ("sampler", settings.sampler in get_args(Sampler), f"one of {', '.join(get_args(Sampler))}"),
            ("cap", settings.cap >= 1, "1 or more"),
            ("temperature", settings.temperature > 0, "above 0"),
        ):
            if not holds:
                raise InputError(f"params.yaml: {where}.{name} is {getattr(settings, name)!r:.80}; it must be {rule}")
        return settings

    def override(self, name: str) -> str:
        """What to write after -S to change a setting where it was read alone: all other trainings stay as they are.

        Joint steps and probes have no block of their own in conf/; what is said there is said to every training.
        """
        group, _, rest = self.where.partition(".")
        owner = rest.removesuffix(".training")
        if group == "benchmark":
            return f"++xtreme.{owner}.training.{name}"
        if group == "mixtures" and "+" not in owner:
            return f"++tasks.{owner}.training.{name}"
        return f"training.{name}"
