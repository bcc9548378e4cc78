"""Clip limits per tensor, from public values alone, the same at every client (crypto.md, Pipeline).

Round 0: INITIAL_HEADROOM times `reach`, learning rate times local steps: about as far as Adam moves a weight in a
round (Kingma, Ba, ICLR 2015, section 2.1; single steps may be somewhat longer). Later: HEADROOM times the largest
magnitude of the last decrypted mean update of that tensor. A tensor whose updates all saturate has a mean near its
limit, so the limit then grows by HEADROOM in the next round; what saturates is counted and reported.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

INITIAL_HEADROOM = 2.0
HEADROOM = 4.0
FLOOR = 1 / 256  # of the initial limit: a tensor that stood still may start to move again
SMALLEST, LARGEST = 2.0**-100, 2.0**100  # what the codec takes; beyond, training has stalled or diverged anyway


class ClipLimits:
    """The limits of the coming round. `lengths`: values per tensor; `reach`: see above, in weight units."""

    def __init__(self, lengths: tuple[int, ...], reach: float) -> None:
        self._lengths = lengths
        initial = _within(INITIAL_HEADROOM * reach)
        self._floor = initial * FLOOR
        self.values: tuple[float, ...] = (initial,) * len(lengths)

    def follow(self, mean_update: NDArray[np.float32]) -> None:
        """Set the next round's limits from this round's decrypted mean, float32[sum(lengths)]."""
        starts = np.concatenate(([0], np.cumsum(self._lengths)[:-1]))
        largest = np.maximum.reduceat(np.abs(mean_update), starts)
        self.values = tuple(_within(max(HEADROOM * float(value), self._floor)) for value in largest)


def _within(limit: float) -> float:
    return min(max(limit, SMALLEST), LARGEST)
