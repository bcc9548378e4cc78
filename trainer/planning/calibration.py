"""What a scheme costs on this machine: whole rounds through the real roles, at growing sizes, within a time budget.

Seconds come from the engine's own ledger. Cost over size is taken as a straight line through the largest sizes
measured: vectors are cut into ciphertexts of one size each, so beyond the first few the cost grows with their number.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median

import numpy as np
from numpy.typing import NDArray

from he_core import Aggregator, Codec, CostLedger, Decryptor, Encryptor, Scheme, Verifier
from he_core.keys import VERIFICATION_KEY_BYTES
from he_core.verification import SESSION_BYTES

BUDGET_SECONDS = 2.0
SMALLEST, GROWTH = 16, 8  # values in the first update, if no more fill a plaintext; times as many in the next
LARGEST = 1 << 20  # values in an update: from there on the line is straight, and memory is the user's
REPETITIONS = 5
POINTS = 3  # sizes that a line goes through
FLAT = 2.0  # a cost that grew by less than this factor over them shows nothing of its growth yet

FIRST, CLIENT, SERVER, READER = "first", "client", "server", "reader"
STEPS = ("encrypt", "parse", "add", "frame", "decrypt")
"""Of a round: `encrypt` and `decrypt` are everything a client does, the others the server's stages; `parse` is per
contribution, `add` per contribution after the first."""


@dataclass(frozen=True)
class Line:
    """fixed + per_value * values, in seconds; neither is negative. is_bound: the cost is that at most."""

    fixed: float
    per_value: float
    is_bound: bool = False

    def at(self, value_count: int) -> float:
        return self.fixed + self.per_value * value_count

    @classmethod
    def through(cls, points: list[tuple[int, float]]) -> Line:
        """Least squares of relative errors through (values, seconds), in order of size.

        A cost that has hardly grown yet may be that of one ciphertext, with room in it, or of a processor's lanes,
        some idle: it is taken to be proportional to the values from there on, which bounds it from above.
        """
        counts = np.array([count for count, _ in points], float)
        seconds = np.array([max(cost, 1e-9) for _, cost in points])
        if seconds[-1] < FLAT * seconds[0]:
            return cls(0.0, float(seconds[-1] / counts[-1]), is_bound=True)
        x, one = counts / seconds, 1 / seconds
        determinant = (x @ x) * (one @ one) - (x @ one) ** 2
        per_value = ((one @ one) * x.sum() - (x @ one) * one.sum()) / determinant
        fixed = ((x @ x) * one.sum() - (x @ one) * x.sum()) / determinant
        if fixed < 0:
            return cls(0.0, float(x.sum() / (x @ x)))
        return cls(float(fixed), float(max(per_value, 0.0)))


@dataclass(frozen=True)
class Sample:
    """Median seconds of each step at one size."""

    value_count: int
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Calibration:
    """What was measured of one scheme object.

    setup_seconds: keys, and what the first round takes longer than the next: tables, compilation, a worker's start.
    mean_error: the largest error seen in a mean, relative to the clip limit.
    """

    setup_seconds: float
    samples: tuple[Sample, ...]
    mean_error: float

    @property
    def largest(self) -> int:
        """Values in the largest update measured."""
        return self.samples[-1].value_count

    @cached_property
    def lines(self) -> dict[str, Line]:
        """A line for each of `STEPS`."""
        return {
            step: Line.through([(sample.value_count, sample.seconds[step]) for sample in self.samples[-POINTS:]])
            for step in STEPS
        }


class _Rounds:
    """Rounds of two clients, or of one where no more fit a sum; every round number is used once."""

    def __init__(self, scheme: Scheme, codec: Codec) -> None:
        self._scheme, self._codec = scheme, codec
        self._secret = scheme.secret_key(scheme.generate_keys())
        # What verification costs does not depend on the key.
        key, session = bytes(VERIFICATION_KEY_BYTES), bytes(SESSION_BYTES)
        self._verifier = Verifier(key, session) if codec.verified else None
        self._round = 0
        self.mean_error = 0.0

    def run(self, value_count: int) -> dict[str, float]:
        """Seconds of each step of one round."""
        codec = replace(self._codec, lengths=(value_count,), limits=(1.0,))
        updates = _updates(value_count)
        ledger, number = CostLedger(), self._round
        self._round += 1
        frames = []
        for client, (party, update) in enumerate(zip((FIRST, CLIENT), updates, strict=True)):
            # As clients of one group do, with the secret key: some schemes then encrypt faster.
            encryptor = Encryptor(self._scheme, self._secret, verifier=self._verifier, ledger=ledger, party=party)
            frames.append(encryptor.encrypt(update, codec, round=number, client=client))
        summed = min(len(frames), codec.k_max)
        aggregator = Aggregator(self._scheme, self._secret.public, ledger=ledger, party=SERVER)
        aggregator.open(number, codec.shape)
        for data in frames[:summed]:
            aggregator.add(data)
        decryptor = Decryptor(self._scheme, self._secret, verifier=self._verifier, ledger=ledger, party=READER)
        mean = decryptor.decrypt(aggregator.result(), codec, round=number)
        errors = np.abs(mean - np.mean(updates[:summed], axis=0, dtype=np.float64))
        self.mean_error = max(self.mean_error, float(errors.max()))
        # The two share one scheme object here, so the first pays for what a round shares (`prepare`) and for what a
        # key keeps, such as tables; the second's other stages are those of any later round.
        stages: dict[str, dict[str, float]] = {party: {} for party in (FIRST, CLIENT, SERVER, READER)}
        for cost in ledger.rows():
            stages[cost.party][cost.stage] = cost.elapsed_ns / 1e9
        shared = stages[FIRST]["prepare"] - stages[CLIENT]["prepare"]
        server = stages[SERVER]
        return {
            "encrypt": sum(stages[CLIENT].values()) + max(shared, 0.0),
            "parse": server["parse"] / summed,
            "add": server["add"],
            "frame": server["frame"],
            "decrypt": sum(stages[READER].values()),
        }


def calibrate(
    scheme: Scheme,
    codec: Codec,
    *,
    budget_seconds: float = BUDGET_SECONDS,
    largest: int = LARGEST,
    progress: Callable[[float], None] = lambda share: None,
) -> Calibration:
    """Measure `scheme` for updates like `codec`'s, from a few values up to all of them or `largest`.

    Sizes grow, a round each, while the next is expected to end within `budget_seconds`; what is left of them goes to
    repetitions of the last sizes. Set-up comes on top, and a smallest size that alone takes longer.
    progress: told the share of the budget that is used up. Raises HeCoreError where the scheme fails.
    """
    begun = time.perf_counter()
    rounds = _Rounds(scheme, codec)
    last = min(codec.value_count, largest)
    word_count = scheme.plaintext(codec.shape).word_count
    size = min(max(SMALLEST, bisect_right(range(last), 1, key=word_count) - 1), last)
    rounds.run(size)
    started = time.perf_counter()
    measured: dict[int, list[dict[str, float]]] = {}

    def measure(size: int) -> float:
        """Run a round; what the next of that size is expected to take, in seconds."""
        seconds = rounds.run(size)
        measured.setdefault(size, []).append(seconds)
        progress(min(1.0, used() / budget_seconds))
        return sum(seconds.values()) + seconds["encrypt"] + seconds["parse"]

    def used() -> float:
        return time.perf_counter() - started

    expected = {size: measure(size)}
    first_round = expected[size]
    while size < last:
        larger = min(size * GROWTH, last)
        if used() + expected[size] * larger / size > budget_seconds:
            break
        size = larger
        expected[size] = measure(size)
    for _ in range(REPETITIONS - 1):
        for repeated in list(expected)[-POINTS:]:
            if used() + expected[repeated] <= budget_seconds:
                measure(repeated)
    samples = tuple(
        Sample(size, {step: median(seconds[step] for seconds in repetitions) for step in STEPS})
        for size, repetitions in measured.items()
    )
    return Calibration(max(0.0, started - begun - first_round), samples, rounds.mean_error)


def _updates(value_count: int) -> list[NDArray[np.float32]]:
    """Two of them, uniform in [-1, 1), the clip limit."""
    random = np.random.default_rng(1)
    return [random.uniform(-1.0, 1.0, value_count).astype(np.float32) for _ in range(2)]
