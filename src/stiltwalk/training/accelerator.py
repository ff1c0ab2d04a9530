"""Accelerate's Accelerator for the settings of a training, and the fastest exact matrix products of a CPU."""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.tracking import DVCLiveTracker
from accelerate.utils import DistributedDataParallelKwargs, parse_flag_from_env
from dvclive import Live

from stiltwalk.training.settings import PredictionSettings
from stiltwalk.utils.errors import InputError


@contextlib.contextmanager
def make_accelerator(settings: PredictionSettings, tasks: int = 1, live: Live | None = None) -> Iterator[Accelerator]:
    """Yield an Accelerator for these settings; its process group ends with the block.

    tasks: the number of tasks that are trained jointly. live: writes what the accelerator logs.

    Raises InputError if the processor lacks the precision of the settings.
    """
    on_cpu = PartialState(parse_flag_from_env("ACCELERATE_USE_CPU")).device.type == "cpu"  # as Accelerator decides
    if on_cpu:
        tune_matmul()
        check_cpu_precision(settings)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    accelerator = Accelerator(
        mixed_precision=settings.mixed_precision,
        # In a joint step the heads of all other tasks get no gradient. Buffers are equal in all processes.
        kwargs_handlers=[
            DistributedDataParallelKwargs(
                find_unused_parameters=tasks > 1, gradient_as_bucket_view=True, broadcast_buffers=False
            )
        ],
        log_with=DVCLiveTracker(live=live) if live else None,
    )
    accelerator.init_trackers("stiltwalk")
    yield accelerator
    # Without the barrier gloo's thread may wait for the GIL to release a tensor while the main thread, which holds the
    # GIL, waits for that thread (torch 2.13). There is no `finally`: if one process failed, others would hang.
    accelerator.wait_for_everyone()
    accelerator.end_training()


def check_cpu_precision(settings: PredictionSettings) -> None:
    """Raise InputError if a CPU lacks the precision, or would only emulate it."""
    where = f"params.yaml: {settings.where}.mixed_precision is {settings.mixed_precision}"
    if settings.mixed_precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        raise InputError(
            f"{where}, and this processor has no bfloat16 instructions: training would take many times as long; use "
            "-S training.mixed_precision=no"
        )
    if settings.mixed_precision == "fp16":  # Accelerate would silently train in float32
        raise InputError(f"{where}, which needs a GPU; use -S training.mixed_precision=no (or bf16)")


def tune_matmul() -> None:
    """Multiply float32 matrices with oneDNN if that is exact; on many CPUs it is faster than torch's default.

    At "medium", oneDNN uses bfloat16 on processors with matrix units for it (AMX); the error of a product tells. Fused
    attention computes one small product per head and block, which is slow in oneDNN, so it is turned off then.
    """
    a, b = np.random.default_rng(0).standard_normal((2, 512, 512), np.float32)
    torch.set_float32_matmul_precision("medium")
    error = np.abs((torch.from_numpy(a) @ torch.from_numpy(b)).numpy() - a.astype(np.float64) @ b).max()
    exact = bool(error < 1e-3)  # float32 stays below 1e-4, bfloat16 exceeds 1e-2
    torch.set_float32_matmul_precision("medium" if exact else "highest")
    torch.backends.cuda.enable_flash_sdp(not exact)  # this switch is for CPUs too
