"""How many values to measure: as many as pass in time, by a measured estimate, whatever the scheme is called.

A pass is an update's way from the array to the mean. Its time is measured on a thousand values, then on the next
count of `LADDER` where the last measurement, scaled, promises to stay within `SECONDS_A_PASS`, and so on.
"""

from __future__ import annotations

import time
from collections.abc import Callable

FEW = 1_000  # where benchmarks run once as tests
PAPER = 4_897  # head and tail of the paper's RED-CNN
MILLION = 1_000_000
LADDER = (FEW, PAPER, 100_000, MILLION, 10_000_000)
SECONDS_A_PASS = 2.0

Pass = Callable[[int], object]


class Affordable:
    """What one scheme or peer can do in time. The pass of a count is run once, and a second time for the first count:
    what is compiled or tabulated once belongs to no estimate.
    """

    def __init__(
        self, run: Pass, seconds_a_pass: float = SECONDS_A_PASS, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._run = run
        self._clock = clock
        self._seconds_a_pass = seconds_a_pass
        self._measured: dict[int, float] = {}

    def largest(self, at_most: int = MILLION) -> int:
        """The largest count of the ladder, up to `at_most`, whose pass is in time."""
        return max(count for count in LADDER if count <= at_most and (count == FEW or self.estimate(count)[0]))

    def estimate(self, count: int) -> tuple[bool, str]:
        """Whether a pass of `count` values is in time, and how that is known."""
        if not self._measured:
            self._measure(FEW)
            self._measure(FEW)
        for step in [step for step in LADDER if FEW < step < count] + [count]:
            nearest = max(known for known in self._measured if known <= step)
            promised = self._measured[nearest] * step / nearest
            if promised > self._seconds_a_pass:
                told = f"{nearest:,} values took {self._measured[nearest]:.2g} s"
                return False, f"{count:,} values would take {promised * count / step:.3g} s ({told})"
            if step not in self._measured and step < count:
                self._measure(step)
        return True, ""

    def _measure(self, count: int) -> None:
        start = self._clock()
        self._run(count)
        self._measured[count] = self._clock() - start
