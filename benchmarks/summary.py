"""Ratios and table lines of the measurements of a benchmark."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from methods import GPU_TRAINING, PRECISIONS, PREDICTION, TRAINING, Method
from pipeline import ExperimentTime
from workers import Measurement

Measurements: TypeAlias = dict[str, list[Measurement]]
"""The measurements of every method, one per round."""

RATIOS = {
    "train_vs_trainer_max_length": ("train bf16", "trainer max length"),
    "train_vs_trainer_dynamic": ("train bf16", "trainer dynamic"),
    "train_vs_trainer_grouped": ("train bf16", "trainer by length"),
    "train_vs_trainer_grouped_bf16": ("train bf16", "trainer by length bf16"),
    "train_fp32_vs_trainer_max_length": ("train float32", "trainer max length"),
    "train_fp32_vs_trainer_dynamic": ("train float32", "trainer dynamic"),
    "train_fp32_vs_trainer_grouped": ("train float32", "trainer by length"),
    "predict_vs_padded": ("predict bf16", "padded float32"),
    "predict_fp32_vs_padded": ("predict float32", "padded float32"),
}


@dataclass(frozen=True)
class Summary:
    """Ratios by name, for bench.json, and the lines of a table."""

    ratios: dict[str, float]
    lines: list[str]


def summarise_width(measurements: Measurements, title: str, suffix: str) -> Summary:
    """Summarise training and prediction at one width.

    suffix: of the names of the ratios.
    """
    ratios = {
        name + suffix: median_ratio(measurements, *pair)
        for name, pair in RATIOS.items()
        if set(pair) <= measurements.keys()
    }
    if "train bf16" in measurements:
        memory = median_ratio(measurements, "train bf16", "trainer max length", "peak_bytes")
        ratios["memory_vs_trainer" + suffix] = memory
    methods = [method for method in [*TRAINING, *GPU_TRAINING, *PREDICTION] if measurements.get(method.name)]
    return Summary(ratios, [title, *(describe_method(method, measurements) for method in methods)])


def describe_method(method: Method, measurements: Measurements) -> str:
    """Return the line of one method, with its share of what matrix products alone would allow."""
    results = measurements[method.name]
    rate = median(results, lambda one: one["tokens_per_s"])
    limits = measurements["limit bf16" if method.precision == "bf16" else "limit float32"]
    products = 1 if method.predicts else 3  # the backward pass takes twice the products of the forward pass
    share = rate / median(limits, lambda one: one["tokens_per_s"]) * products
    memory = median(results, lambda one: one["peak_bytes"])
    cores = median(results, lambda one: one["cpu"] / one["wall"])
    details = f"{share:4.0%} of the limit", f"{memory / 2**30:.2f} GiB", f"{cores:.2f} cores"
    return format_line(method.name, rate, "tokens/s", *details)


def summarise_processes(measurements: Measurements, rows: str) -> Summary:
    """Summarise training in one process and in two."""
    rates = {name: median(results, lambda one: one["tokens_per_s"]) for name, results in measurements.items()}
    lines = [f"several processes, {rows} rows", *(format_line(name, rate, "tokens/s") for name, rate in rates.items())]
    ratios = {
        f"two_processes_{precision}_vs_one": median_ratio(
            measurements, f"two processes {precision}", f"one process {precision}"
        )
        for precision in PRECISIONS
    }
    return Summary(ratios, lines)


def summarise_mining(measurements: Measurements) -> Summary:
    """Summarise the search for neighbours, by width."""
    ratios, lines = {}, []
    for width, results in measurements.items():
        name = "mine_vs_faiss" + ("" if width == "384" else f"_{width}")
        ratios[name] = median(results, lambda one: one["seconds_faiss"] / one["wall"])
        same, memory = min(one["same"] for one in results), median(results, lambda one: one["peak_bytes"])
        lines.append(
            format_line(
                f"mining at width {width}",
                median(results, lambda one: one["tokens_per_s"]),
                "queries/s",
                f"the same four as faiss for {same:.2%}",
                f"{memory / 2**30:.2f} GiB with faiss's (kernel {results[0]['faiss_kernel']})",
            )
        )
    return Summary(ratios, lines)


def summarise_experiment(seconds: ExperimentTime) -> Summary:
    """Summarise where the time of an experiment goes."""
    line = (
        f"make repro of the last commit, packages installed: {seconds.wall:.0f} s, of which "
        f"{seconds.compute:.0f} s training and prediction, {seconds.data:.0f} s data, "
        f"{seconds.overhead:.0f} s everything else in {seconds.stages} stages"
    )
    return Summary({"overhead": seconds.overhead / seconds.wall}, [line])


def median(results: list[Measurement], value: Callable[[Measurement], float]) -> float:
    """Return the median of a value over the rounds."""
    return statistics.median(map(value, results))


def median_ratio(measurements: Measurements, numerator: str, denominator: str, key: str = "tokens_per_s") -> float:
    """Return the median of the ratios of each round."""
    pairs = zip(measurements[numerator], measurements[denominator], strict=True)
    return statistics.median(one[key] / other[key] for one, other in pairs)


def format_line(name: str, rate: float, unit: str, *details: str) -> str:
    """Return one line of a table."""
    return f"{name:<34} {rate:>9,.0f} {unit:<9} " + "  ".join(details)
