"""The methods of training and prediction that are compared."""

from dataclasses import dataclass

from rows import RowsName
from stiltwalk.training.settings import Precision
from workers import Request


@dataclass(frozen=True)
class Method:
    """One line of the table.

    name: in the table and in bench.json. measured_as: a key of `measure.METHODS`. steps: batches of 32 rows, at width
    384 on a CPU. graphs: whether CUDA graphs are recorded, on a GPU.
    """

    name: str
    measured_as: str
    precision: Precision
    steps: int
    graphs: bool = False

    @property
    def predicts(self) -> bool:
        """Whether this is prediction, and not training."""
        return self.measured_as in ("padded", "predict")

    def request(self, width: int, rows: RowsName, file: str, seed: int, gpu: bool) -> Request:
        """Return what to measure: fewer steps of wide encoders and long rows, more on a GPU, and most with graphs."""
        divisor = max(1, width // 384) * (4 if rows == "qa" else 1)
        factor = (16 if self.graphs else 2) if gpu else 1
        return Request(
            self.measured_as,
            width,
            self.precision,
            steps=max(2, self.steps * factor // divisor),
            rows=rows,
            file=file,
            seed=seed,
            graphs=self.graphs,
        )


TRAINING = [
    Method("trainer max length", "trainer max length", "no", 4),
    Method("trainer dynamic", "trainer dynamic", "no", 4),
    Method("trainer by length", "trainer by length", "no", 16),
    Method("trainer by length bf16", "trainer by length", "bf16", 16),
    Method("train float32", "train", "no", 16, graphs=True),
    Method("train bf16", "train", "bf16", 16, graphs=True),
]
GPU_TRAINING = [
    Method("train float32 without graphs", "train", "no", 16),
    Method("train bf16 without graphs", "train", "bf16", 16),
]
PREDICTION = [
    Method("padded float32", "padded", "no", 8),
    Method("predict float32", "predict", "no", 160),  # as many rows as one language of XNLI's test
    Method("predict bf16", "predict", "bf16", 160),
]
LIMITS = [Method("limit float32", "limit", "no", 0), Method("limit bf16", "limit", "bf16", 0)]
PRECISIONS: dict[str, Precision] = {"float32": "no", "bf16": "bf16"}
