"""The cost ledger: stage timers and byte counters, per round and party.

Every stage of the pipeline (prepare, quantise, verify, pack, encrypt, convert, frame, parse, add, decrypt, unpack)
runs inside `CostLedger.stage`, in the same run that trains, so the cost of encryption is a measured result of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

STAGES = ("prepare", "quantise", "verify", "pack", "encrypt", "convert", "frame", "parse", "add", "decrypt", "unpack")
"""The pipeline's stages in order; other stages (such as `keys`) may be recorded beside them. `prepare` is what the
encryptions and decryptions of a round share, done by whoever comes first; `verify` the tag of a contribution and the
check of a sum by it; `convert` what a foreign library's objects cost beside encryption and decryption, where a scheme
has one."""


@dataclass
class StageCost:
    """Accumulated cost of one stage at one party in one round."""

    round: int
    party: str
    stage: str
    elapsed_ns: int = 0
    bytes: int = 0
    values: int = 0
    calls: int = 0

    def as_row(self) -> dict[str, int | str]:
        """A flat, JSON-able row."""
        return asdict(self)


class StageMeter:
    """What a stage reports about itself while its time is taken."""

    def __init__(self) -> None:
        self.bytes = 0
        self.values = 0
        self.moved_ns: dict[str, int] = {}

    def move(self, stage: str, elapsed_ns: int) -> None:
        """Book `elapsed_ns` of this stage's time, at most all of it, to another stage; nothing where it is 0."""
        if elapsed_ns:
            self.moved_ns[stage] = self.moved_ns.get(stage, 0) + elapsed_ns

    def count(self, *, bytes: int = 0, values: int = 0) -> None:
        """Add to the bytes the stage put out and the values it worked on."""
        self.bytes += bytes
        self.values += values


class CostLedger:
    """Thread-safe accumulator of `StageCost`, keyed by (round, party, stage)."""

    def __init__(self) -> None:
        self._costs: dict[tuple[int, str, str], StageCost] = {}
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, stage: str, *, round: int, party: str) -> Iterator[StageMeter]:
        """Time the enclosed block as `stage`. A block that raises is not recorded."""
        meter = StageMeter()
        start = time.perf_counter_ns()
        yield meter
        elapsed_ns = time.perf_counter_ns() - start
        own_ns = elapsed_ns - sum(meter.moved_ns.values())
        with self._lock:
            for name, spent_ns, size in ((stage, own_ns, meter.bytes), *((*m, 0) for m in meter.moved_ns.items())):
                cost = self._costs.setdefault((round, party, name), StageCost(round, party, name))
                cost.elapsed_ns += spent_ns
                cost.bytes += size
                cost.values += meter.values
                cost.calls += 1

    def add(self, cost: StageCost) -> None:
        """Add what another ledger, perhaps of another process, has recorded."""
        with self._lock:
            known = self._costs.setdefault(
                (cost.round, cost.party, cost.stage), StageCost(cost.round, cost.party, cost.stage)
            )
            known.elapsed_ns += cost.elapsed_ns
            known.bytes += cost.bytes
            known.values += cost.values
            known.calls += cost.calls

    def rows(self, round: int | None = None) -> list[StageCost]:
        """The costs recorded so far (of one round if given), in the order first recorded."""
        with self._lock:
            return [cost for cost in self._costs.values() if round is None or cost.round == round]

    def elapsed_ns(self, round: int) -> int:
        """Total of the pipeline's stages over all parties in `round`, in nanoseconds."""
        return sum(cost.elapsed_ns for cost in self.rows(round) if cost.stage in STAGES)
