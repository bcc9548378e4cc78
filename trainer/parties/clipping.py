"""Clip limits per tensor, from public values alone, the same at every client (crypto.md, Pipeline).

Round 0: learning rate times local steps, about as far as Adam moves a weight in one round. Later: HEADROOM times the
largest magnitude of the last decrypted mean update of that tensor. A tensor whose updates all saturate has a mean
near its limit, so the limit then grows by HEADROOM in the next round; what saturates is counted and reported.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HEADROOM = 4.0
FLOOR = 1 / 256  # of the initial limit: a tensor that stood still may start to move again


class ClipLimits:
    """The limits of the coming round. `lengths`: values per tensor; `initial`: limit of round 0, in weight units."""

    def __init__(self, lengths: tuple[int, ...], initial: float) -> None:
        self._lengths = lengths
        self._floor = initial * FLOOR
        self.values: tuple[float, ...] = (initial,) * len(lengths)

    def follow(self, mean_update: NDArray[np.float32]) -> None:
        """Set the next round's limits from this round's decrypted mean, float32[sum(lengths)]."""
        starts = np.concatenate(([0], np.cumsum(self._lengths)[:-1]))
        largest = np.maximum.reduceat(np.abs(mean_update), starts)
        self.values = tuple(max(HEADROOM * float(value), self._floor) for value in largest)
