"""Time, tokens and memory of a measurement."""

import resource
import time

import torch

from workers import Measurement


class Clock:
    """Wall and CPU seconds of a block."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __enter__(self) -> "Clock":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the clock, when the GPU has finished what was launched before."""
        synchronize()
        self.wall, self.cpu = -time.perf_counter(), -time.process_time()

    def stop(self) -> None:
        """Stop the clock, when the GPU has finished."""
        synchronize()
        self.wall += time.perf_counter()
        self.cpu += time.process_time()

    def report(self, tokens: int) -> Measurement:
        """Return the measurement of a block that went through this many real tokens; padding does not count."""
        peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
        return {
            "tokens": tokens,
            "wall": self.wall,
            "cpu": self.cpu,
            "tokens_per_s": tokens / self.wall,
            "peak_bytes": peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
