"""Whether the runs of all orders are equally noisy, as pooled errors assume."""

import math
from typing import Any

import numpy as np
import pandas as pd

from stiltwalk.analysis.anova import indicator_columns, orthonormal_basis
from stiltwalk.analysis.cells import split_order

DRAWS = 4000  # of equal noise


def compare_noise(values: pd.Series) -> dict[str, Any]:
    """Return the noisiest order, the ratio of its standard deviation to that of the other orders, and its p value.

    The standard deviations are those of the residuals of order and seed. The test is Cochran's (1941), of the largest
    variance against the sum of all, with a p value from simulated equal noise, so that missing scores do not matter.
    NaN without degrees of freedom.

    values: scores by (order, seed), without missing ones.
    """
    nothing = {"order": None, "ratio": math.nan, "p": math.nan}
    orders = sorted(set(values.index.get_level_values("order")))
    if len(orders) < 3:  # the residuals of two orders are equal
        return nothing
    of_order = indicator_columns(values.index, "order")
    basis = orthonormal_basis(of_order, indicator_columns(values.index, "seed"))
    if len(values) <= basis.shape[1]:
        return nothing
    noise = np.random.default_rng(0).standard_normal((len(values), DRAWS))
    y = np.column_stack([values.to_numpy(float) - values.mean(), noise])
    squares = of_order.T @ (y - basis @ (basis.T @ y)) ** 2 / of_order.sum(axis=0)[:, None]  # (orders, draws)
    total = squares.sum(axis=0)
    if total[0] < 1e-9:
        return nothing
    share = squares.max(axis=0) / total
    noisiest = int(squares[:, 0].argmax())
    others = (total[0] - squares[noisiest, 0]) / (len(orders) - 1)
    return {
        "order": split_order(orders[noisiest]),
        "ratio": math.sqrt(squares[noisiest, 0] / others) if others > 0 else math.nan,
        "p": float(np.mean(share >= share[0] - 1e-12)),
    }
