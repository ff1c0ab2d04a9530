"""Vectors to search among."""

import numpy as np
import torch


def unit(rows: int, width: int, seed: int) -> torch.Tensor:
    """Random unit vectors."""
    values = torch.from_numpy(np.random.default_rng(seed).standard_normal((rows, width))).float()
    return torch.nn.functional.normalize(values, dim=-1)


def small_integers(rows: int, width: int, seed: int, low: int = -1) -> torch.Tensor:
    """Vectors whose products are exact in any order of summing, and many of which are equal."""
    return torch.from_numpy(np.random.default_rng(seed).integers(low, 3, (rows, width))).float()
