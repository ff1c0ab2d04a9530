"""Least squares of scores on order and seed: means of orders and components of variance."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg import orth


@dataclass(frozen=True)
class VarianceComponents:
    """Variances of order, seed and run (order x seed); NaN where a component cannot be estimated."""

    order: float = math.nan
    seed: float = math.nan
    run: float = math.nan


def indicator_columns(index: pd.MultiIndex, level: str) -> np.ndarray:
    """Return 0/1 columns, one for every distinct value of an index level ("order" or "seed")."""
    return pd.get_dummies(index.get_level_values(level)).to_numpy(float)


def orthonormal_basis(*columns: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of the space that the columns span."""
    return orth(np.hstack(columns))


def order_means(values: pd.DataFrame | pd.Series) -> pd.DataFrame:
    """Return least-squares means of the orders (rows), adjusted for the seeds that an order lacks.

    All means are NaN where orders and seeds are not connected, because then order and seed are confounded.
    """
    table = values.to_frame() if isinstance(values, pd.Series) else values
    orders = sorted(set(table.index.get_level_values("order")))
    if not orders:
        return pd.DataFrame(columns=table.columns, dtype=float)
    design = np.hstack([indicator_columns(table.index, level) for level in ("order", "seed")])
    if np.linalg.matrix_rank(design) < design.shape[1] - 1:
        return pd.DataFrame(np.nan, orders, table.columns)
    coefficients = np.linalg.lstsq(design, table.to_numpy(float), rcond=None)[0]
    means = coefficients[: len(orders)] + coefficients[len(orders) :].mean(axis=0)
    return pd.DataFrame(means, orders, table.columns)


def variance_components(values: pd.DataFrame | pd.Series) -> VarianceComponents:
    """Estimate the components of variance by the method of moments, as the mean over the columns.

    The model is y = order + seed + run: all random, one run per cell, cells may be missing. The sums of squares of each
    factor given the other are equated to their expectations (Henderson's method 3; Searle, Casella & McCulloch 1992,
    ch. 5). An estimate may be negative. A component that is confounded with another is NaN, as with one seed.
    """
    table = values.to_frame() if isinstance(values, pd.Series) else values
    if len(table) < 2:
        return VarianceComponents()
    y = table.to_numpy(float) - table.to_numpy(float).mean(axis=0)
    factors = {level: indicator_columns(table.index, level) for level in ("order", "seed")}
    full = orthonormal_basis(*factors.values())
    df = len(y) - full.shape[1]
    if df == 0:
        return VarianceComponents()
    explained = ((full.T @ y) ** 2).sum(axis=0)
    run = float(np.mean((y**2).sum(axis=0) - explained) / df)
    components = {"run": run}
    for level, other in (("order", "seed"), ("seed", "order")):
        reduced = orthonormal_basis(factors[other])
        rank = full.shape[1] - reduced.shape[1]
        if rank:
            gain = np.mean(explained - ((reduced.T @ y) ** 2).sum(axis=0))
            trace = ((full.T @ factors[level]) ** 2).sum() - ((reduced.T @ factors[level]) ** 2).sum()
            components[level] = float((gain - rank * run) / trace)
    return VarianceComponents(**components)


def language_components(table: pd.DataFrame | None) -> dict[str, float]:
    """Estimate the variances of language, order x language, seed x language and the rest.

    Rows are runs, columns languages. Languages are fixed, so interactions with them sum to zero over languages, and the
    means over languages contain only order, seed and run (the restricted mixed model; Searle, Casella & McCulloch 1992,
    ch. 4). All are variances of a single score: together with order, seed and run they add up to its variance. NaN with
    one language.
    """
    if table is None or table.shape[1] < 2 or table.empty:
        return dict.fromkeys(("language", "order_language", "seed_language", "rest"), math.nan)
    interactions = variance_components(table.sub(table.mean(axis=1), axis=0))
    return {
        "language": float(table.mean(axis=0).var(ddof=0)),
        "order_language": interactions.order,
        "seed_language": interactions.seed,
        "rest": interactions.run,
    }


def variance_shares(components: Mapping[str, float]) -> dict[str, float]:
    """Return each component's share of their sum, with negative estimates as zero.

    NaN components are left out of the sum. If order, seed or run is NaN, every share is NaN.
    """
    known = {name: max(value, 0.0) for name, value in components.items() if not math.isnan(value)}
    total = sum(known.values()) if {"order", "seed", "run"} <= known.keys() else 0.0
    return {name: known.get(name, math.nan) / total if total > 0 else math.nan for name in components}
