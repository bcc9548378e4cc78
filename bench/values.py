"""The values that everything is measured on, and their mean. Needs numpy alone: other interpreters use it too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LIMIT = 0.05  # values are uniform in [-LIMIT, LIMIT)


def uniform(count: int, seed: int = 1) -> NDArray[np.float32]:
    """float32[count]."""
    return np.random.default_rng(seed).uniform(-LIMIT, LIMIT, count).astype(np.float32)


def mean_of(updates: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """The mean that encrypted averaging should come to."""
    return np.mean(np.array(updates, np.float64), axis=0)
